// One scenario of the Vercel AI SDK against keytoll; prints what the SDK made of it as JSON.
// node vercel.mjs BASE_URL API_KEY PROVIDER MODEL SCENARIO NAME

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey, provider, model, scenario, name] = process.argv.slice(2);
const keytoll = createOpenAICompatible({
  name: "keytoll",
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true,
  headers: { "x-byok-provider": provider, "x-keytoll-tags": `call=${name}` },
});
const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});
const City = z.object({ city: z.string() });

const asked = (words) => ({
  model: keytoll(model),
  prompt: `${words} ${name}`,
  maxRetries: 0,
});
const told = (found) => ({
  text: found.text,
  finishReason: found.finishReason,
  usage: { input: found.usage.inputTokens, output: found.usage.outputTokens },
});

const scenarios = {
  text: async () => told(await generateText(asked("plain"))),
  stream: async () => {
    const result = streamText(asked("plain"));
    let text = "";
    for await (const piece of result.textStream) text += piece;
    return told({ text, finishReason: await result.finishReason, usage: await result.usage });
  },
  tools: async () => {
    const found = await generateText({
      ...asked("plain"),
      tools: { weather },
      stopWhen: stepCountIs(3),
    });
    const called = found.steps.flatMap((step) => step.toolCalls);
    const results = found.steps.flatMap((step) => step.toolResults);
    return {
      ...told(found),
      steps: found.steps.length,
      inputs: called.map((call) => call.input),
      outputs: results.map((result) => result.output),
    };
  },
  "tools-stream": async () => {
    const result = streamText({ ...asked("plain"), tools: { weather }, stopWhen: stepCountIs(3) });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    const steps = await result.steps;
    return {
      text,
      steps: steps.length,
      inputs: steps.flatMap((step) => step.toolCalls).map((call) => call.input),
    };
  },
  object: async () => {
    const found = await generateText({ ...asked("object"), output: Output.object({ schema: City }) });
    return { ...told(found), object: found.output };
  },
  "object-stream": async () => {
    const result = streamText({ ...asked("object"), output: Output.object({ schema: City }) });
    let last;
    for await (const partial of result.partialOutputStream) last = partial;
    return { object: last };
  },
  refused: async () => {
    try {
      await generateText(asked("status-429"));
      return { error: null };
    } catch (error) {
      if (!APICallError.isInstance(error)) throw error;
      return { error: error.message, status: error.statusCode, retryable: error.isRetryable };
    }
  },
};

process.stdout.write(JSON.stringify(await scenarios[scenario]()));
