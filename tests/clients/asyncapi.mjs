// What AsyncAPI's own parser makes of a document: node asyncapi.mjs FILE

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const messages = document?.allMessages().map((message) => message.id()) ?? [];
const problems = diagnostics
  .filter(({ code }) => code !== "asyncapi-latest-version")
  .map(({ code, message, path }) => `${path.join(".")}: ${code}: ${message}`);
console.log(JSON.stringify({ valid: document !== undefined, messages, problems }));
