"""OpenAI's request as Converse's: every field is honoured, harmless to drop, or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import asked_for, function_declared, stop_texts, token_limit
from api.providers.converse.content import Conversation, cache_point
from api.providers.converse.models import family_of
from api.providers.messages.request import (
    HARMLESS,
    JSON_ONLY,
    JSON_TOOL,
    thinking_budget,
)
from api.providers.messages.schema import cleaned
from api.providers.port import ChatCall, RawObject, UnsupportedParameter
from api.providers.verbatim import written

THOUGHT_COUNT: Final = "/usage/output_tokens_details"
"""Claude's own count of its thoughts, which Converse leaves out unless it is asked for."""

_LABELS_MAX: Final = 16
_LABEL: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{1,256}")
_TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
_OWN_FIELDS: Final = ("guardrailConfig", "performanceConfig")
"""Members of Converse's own that clients may name; they pass as they are."""
TRANSLATED: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("stop", "temperature", "top_p", "top_k", "reasoning_effort", "thinking", "tools"),
        *("tool_choice", "parallel_tool_calls", "response_format", "user", "safety_identifier"),
        *("service_tier", "cache_control", "metadata", "additionalModelRequestFields"),
        *_OWN_FIELDS,
    }
)


def request_body(call: ChatCall) -> RawObject:
    """The body of Converse and ConverseStream. Raises UnsupportedParameter naming the field."""
    return _Request(call).body


def stands_in_for_json(call: ChatCall) -> bool:
    """The answer will come as a call of `JSON_TOOL`."""
    return _schema(call.body) is not None and family_of(call.model).schema == "tool"


class _Request:
    """One body in the making."""

    def __init__(self, call: ChatCall) -> None:
        self._asked = asked_for(call, TRANSLATED | HARMLESS, of="Bedrock")
        self._family = family_of(call.model)
        self._said = Conversation(
            self._asked.get("messages"),
            short_ids=self._family.short_ids,
            caches=self._family.caches,
        )
        self._inference: RawObject = {}
        self._output: RawObject = {}
        self._tools: RawObject = {}
        self._additional: RawObject = {}
        self._inference_limits()
        self._tool_config()
        self._reasoning()
        self._response_format()
        self._tool_choice()
        self._sampling()
        self._own_additional()
        if "cache_control" in self._asked:
            self._said.mark_cached(self._asked["cache_control"])
        self.body = self._put_together()

    def _put_together(self) -> RawObject:
        parts: RawObject = {
            "system": self._said.system,
            "inferenceConfig": self._inference,
            "toolConfig": self._tools,
            "outputConfig": self._output,
            "additionalModelRequestFields": self._additional,
            "serviceTier": self._service_tier(),
            "requestMetadata": self._labels(),
            **{name: self._object(name) for name in _OWN_FIELDS},
        }
        body: RawObject = {"messages": self._said.turns}
        body.update({name: value for name, value in parts.items() if value})
        if self._family.claude is not None and self._thinks:
            body["additionalModelResponseFieldPaths"] = [THOUGHT_COUNT]
        return body

    @property
    def _thinks(self) -> bool:
        thinking = self._additional.get("thinking")
        return isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive")

    def _object(self, name: str) -> RawObject:
        value = self._asked.get(name, {})
        if not isinstance(value, Mapping):
            raise UnsupportedParameter(f"{name} must be an object", param=name)
        return dict(value)

    def _inference_limits(self) -> None:
        limit = token_limit(self._asked)
        if limit is not None:
            self._inference["maxTokens"] = limit
        stops = stop_texts(self._asked)
        if not all(isinstance(text, str) for text in stops):
            raise UnsupportedParameter("stop must be text or a list of texts", param="stop")
        # Claude refuses stops of white space alone, all models refuse empty ones.
        claude = self._family.claude is not None
        kept = [text for text in stops if (text.strip() if claude else text)]
        if kept:
            self._inference["stopSequences"] = kept

    def _tool_config(self) -> None:
        tools = self._asked.get("tools") or []
        if not isinstance(tools, list):
            raise UnsupportedParameter("tools must be a list", param="tools")
        called = self._said.tools_called
        if self._asked.get("tool_choice") == "none" and not called:
            return
        found = [each for place, tool in enumerate(tools) for each in self._tool(tool, place)]
        if not found:
            # A conversation that holds calls is refused unless their tools are told again.
            found = [
                {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}
                for name in called
            ]
        if found:
            self._tools["tools"] = found

    def _tool(self, tool: Any, place: int) -> list[RawObject]:
        param = f"tools.{place}"
        function = function_declared(tool, param, of="Bedrock")
        schema = function.get("parameters")
        schema = dict(schema) if isinstance(schema, Mapping) else {}
        schema.setdefault("type", "object")
        spec: RawObject = {"name": function.get("name")}
        if function.get("description"):
            spec["description"] = function["description"]
        if function.get("strict") is True:
            spec["strict"] = True
            schema = cleaned(schema, param=f"{param}.function.parameters")
        spec["inputSchema"] = {"json": schema}
        mark = tool.get("cache_control") or function.get("cache_control")
        return [{"toolSpec": spec}, *cache_point(mark, known=self._family.caches)]

    def _tool_choice(self) -> None:
        choice = _choice(self._asked.get("tool_choice"))
        alone = self._asked.get("parallel_tool_calls") is False
        if not self._tools or "toolChoice" in self._tools or not (choice or alone):
            return
        claude = self._family.claude
        forced = choice is not None and "auto" not in choice
        if forced and claude is not None and (not claude.forced_choice or self._thinks):
            raise UnsupportedParameter(
                "this model cannot be forced to call a tool"
                + (" while it reasons" if claude.forced_choice else ""),
                param="tool_choice",
            )
        if alone and claude is None:
            raise UnsupportedParameter(
                "only Claude can be kept from calling several tools", param="parallel_tool_calls"
            )
        if alone:
            # Converse has no word for it; its own choice beside this one would contradict it.
            kind, more = next(iter((choice or {"auto": {}}).items()))
            self._additional["tool_choice"] = {
                "type": kind,
                **more,
                "disable_parallel_tool_use": True,
            }
        elif choice is not None:
            self._tools["toolChoice"] = choice

    def _reasoning(self) -> None:
        if "thinking" in self._asked and self._family.claude is not None:
            self._additional["thinking"] = self._object("thinking")
            return
        if "thinking" in self._asked:
            raise UnsupportedParameter("only Claude takes thinking", param="thinking")
        effort = self._asked.get("reasoning_effort")
        if effort is None or (effort == "none" and "none" not in self._family.efforts):
            # Nothing to switch off, or off unless asked for.
            return
        if not isinstance(effort, str) or effort not in self._family.efforts:
            raise UnsupportedParameter(
                "this model cannot reason with this effort", param="reasoning_effort"
            )
        if self._family.reasoning == "claude":
            self._claude_thinks(effort)
        elif self._family.reasoning == "effort":
            self._additional["reasoning_effort"] = effort
        elif self._family.reasoning == "object":
            self._additional["reasoning"] = {"effort": effort}
        else:
            self._additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}

    def _claude_thinks(self, effort: str) -> None:
        rules = self._family.claude
        if rules is None or rules.thinking == "none":
            return
        if effort == "none":
            self._additional["thinking"] = {"type": "disabled"}
        elif rules.thinking == "adaptive":
            self._additional["thinking"] = {"type": "adaptive", "display": "summarized"}
            self._output["effort"] = "low" if effort == "minimal" else effort
        elif not self._said.open_turn_without_thoughts:
            limit = self._inference.setdefault("maxTokens", rules.max_tokens)
            budget = thinking_budget(effort, limit)
            self._additional["thinking"] = {"type": "enabled", "budget_tokens": budget}
        # Else: as with Anthropic itself, this one answer is given without thinking.

    def _response_format(self) -> None:
        wanted = self._asked.get("response_format")
        if wanted is None or wanted == {"type": "text"}:
            return
        if isinstance(wanted, Mapping) and wanted.get("type") == "json_object":
            self._said.system.append({"text": JSON_ONLY})
            return
        found = _schema(self._asked)
        if found is None or self._family.schema == "no":
            raise UnsupportedParameter(
                "this model cannot follow this response_format", param="response_format"
            )
        schema = cleaned(dict(found["schema"]), param="response_format")
        if self._family.schema == "format":
            self._output["textFormat"] = _text_format(found, schema)
            return
        if self._tools or self._thinks or "reasoningConfig" in self._additional:
            raise UnsupportedParameter(
                "this model cannot follow a schema together with tools or reasoning",
                param="response_format",
            )
        spec = {"name": JSON_TOOL, "inputSchema": {"json": schema}}
        self._tools["tools"] = [{"toolSpec": spec}]
        self._tools["toolChoice"] = {"tool": {"name": JSON_TOOL}}

    def _sampling(self) -> None:
        claude = self._family.claude
        for name, own in (("temperature", "temperature"), ("top_p", "topP")):
            value = self._asked.get(name)
            if value is None or (value == 1 and claude is not None):
                # 1 is what Claude does anyway, and not every Claude takes it.
                continue
            if claude is not None and (
                not claude.sampling or (name == "temperature" and self._thinks)
            ):
                raise UnsupportedParameter(f"this model takes no {name}", param=name)
            if isinstance(value, int | float) and value > 1:
                raise UnsupportedParameter(f"{name} may be 1 at most", param=name)
            self._inference[own] = value
        top_k = self._asked.get("top_k")
        if top_k is None:
            return
        if not self._family.top_k:
            raise UnsupportedParameter("this model takes no top_k", param="top_k")
        *path, last = self._family.top_k
        inside = self._additional
        for name in path:
            inside = inside.setdefault(name, {})
        inside[last] = top_k

    def _own_additional(self) -> None:
        """What the client says in Converse's own words wins over what was made of OpenAI's."""
        self._additional.update(self._object("additionalModelRequestFields"))

    def _service_tier(self) -> RawObject:
        tier = self._asked.get("service_tier", "auto")
        if tier == "auto":
            return {}
        if not isinstance(tier, str) or tier not in _TIERS:
            raise UnsupportedParameter("this service_tier is not sold", param="service_tier")
        return {"type": tier}

    def _labels(self) -> RawObject:
        """Labels for the customer's own logs at Amazon; those that do not fit are left out."""
        given = self._asked.get("metadata")
        fitting = {
            name: value
            for name, value in (given.items() if isinstance(given, Mapping) else ())
            if isinstance(value, str) and _LABEL.fullmatch(name) and _LABEL.fullmatch(value or "-")
        }
        return dict(list(fitting.items())[:_LABELS_MAX])


def _choice(asked: Any) -> RawObject | None:
    if asked is None or asked == "none":
        # There is no such choice: the tools are left out where the conversation allows it.
        return None
    words = {"auto": "auto", "required": "any"}
    if isinstance(asked, str) and asked in words:
        return {words[asked]: {}}
    if isinstance(asked, Mapping) and asked.get("type") == "function":
        function = asked.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            return {"tool": {"name": function["name"]}}
    raise UnsupportedParameter("this tool_choice cannot be honoured", param="tool_choice")


def _schema(asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`json_schema` of the response format, if it holds a schema."""
    wanted = asked.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return None
    inner = wanted.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        return None
    return inner


def _text_format(found: Mapping[str, Any], schema: RawObject) -> RawObject:
    text = written(schema)
    if text is None:
        raise UnsupportedParameter("the schema is nested too deeply", param="response_format")
    definition = {"schema": text.decode()}
    for name in ("name", "description"):
        if isinstance(found.get(name), str) and found[name]:
            definition[name] = found[name]
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}
