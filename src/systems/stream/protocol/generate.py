#!/usr/bin/env python3
"""generate.py messages.txt DIRECTORY: writes messages.h (the types) and their codecs from the description: broker_messages.cc reads requests
and writes responses, client_messages.cc the reverse.

Each structure becomes a struct whose members hold the defaults, and one function that names its fields in order; that
function is instantiated with a Decoder and with an Encoder (wire.h), so reading and writing cannot disagree.
"""
import os
import re
import sys

PRIMITIVES = {"bool": "bool", "int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "int64": "int64_t",
              "float64": "double", "uuid": "Uuid", "records": "Records"}
# A request is read in place and points into the received bytes; a response owns what it says.
TEXT = {"Request": {"string": "std::string_view", "bytes": "BytesView"}, "Response": {"string": "std::string", "bytes": "Bytes"}}


class Field:
    def __init__(self, words, line):
        self.line = line
        self.name = words[0]
        self.array = words[1].startswith("[]")
        self.type = words[1].removeprefix("[]")
        self.versions = words[2]
        self.null = self.tag = self.default = None
        rest = words[3:]
        while rest:
            if rest[0] == "null":
                self.null, rest = rest[1], rest[2:]
            elif rest[0] == "tag":
                self.tag, rest = int(rest[1]), rest[2:]
            elif rest[0] == "=":
                self.default, rest = rest[1], rest[2:]
            else:
                raise SystemExit(f"line {line}: what is '{rest[0]}'?")
        self.fields = []  # of a structure


class Api:
    def __init__(self, words):
        self.key, self.name = int(words[1]), words[2]
        self.oldest, self.newest = (int(v) for v in words[3].split("-"))
        self.flexible = 32767 if words[5] == "-" else int(words[5])
        self.messages = {}


def parse(path):
    apis, stack = [], []
    for number, text in enumerate(open(path, encoding="utf-8"), 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        indent = (len(text) - len(text.lstrip())) // 2
        if words[0] == "api":
            apis.append(Api(words))
        elif indent == 0:
            if words[0] not in ("request", "response"):
                raise SystemExit(f"line {number}: neither api, request nor response")
            fields = []
            apis[-1].messages[words[0].capitalize()] = fields
            stack = [fields]
        else:
            del stack[indent:]
            if len(stack) != indent:
                raise SystemExit(f"line {number}: indented too far")
            field = Field(words, number)
            stack[-1].append(field)
            stack.append(field.fields)
    return apis


def condition(versions, api):
    """C++ for "the version has it"; None if every one has."""
    if versions == "*":
        return None
    if versions.endswith("+"):
        low, high = int(versions[:-1]), api.newest
    else:
        low, _, high = versions.partition("-")
        low, high = int(low), int(high or low)
    parts = ([f"version >= {low}"] if low > api.oldest else []) + ([f"version <= {high}"] if high < api.newest else [])
    return " && ".join(parts) or None


def is_struct(field):
    return field.type not in PRIMITIVES and field.type not in ("string", "bytes")


def cpp_type(field, kind):
    base = PRIMITIVES.get(field.type) or TEXT[kind].get(field.type) or field.type
    if field.array:
        base = f"std::vector<{base}>"
    return f"std::optional<{base}>" if field.null and field.type != "records" else base


def initial(field):
    if field.default is None:
        return "" if field.array or is_struct(field) or field.type in ("string", "bytes", "records", "uuid") else (" = false" if field.type == "bool" else " = 0")
    if field.default == "null":
        return ""
    if field.type == "string":
        return f' = "{field.default}"'
    if field.type == "bool":
        return f" = {field.default}"
    number = int(field.default, 0)
    return f" = {number}"


def declare(out, name, fields, kind, indent, compared=False):
    """`compared`: it stands in a tagged field, which is left out where it equals its default."""
    pad = "  " * indent
    out.append(f"{pad}struct {name} {{")
    seen = set()
    for field in fields:
        if is_struct(field) and field.type not in seen:
            seen.add(field.type)
            declare(out, field.type, field.fields, kind, indent + 1, compared or field.tag is not None)
    for field in fields:
        out.append(f"{pad}  {cpp_type(field, kind)} {field.name}{initial(field)};")
    if compared:
        out.append(f"{pad}  bool operator==(const {name}&) const = default;")
    out.append(f"{pad}}};")


def visit_call(field, api):
    nullable = "false"
    if field.null:
        nullable = condition(field.null, api) or "true"
    target = f"message.{field.name}"
    if field.array:
        element = "fields(codec, element, version)" if is_struct(field) else "codec.field(element)"
        call = f"codec.array({target}, [&](auto& element) {{ {element}; }}"
        return call + (f", {nullable})" if field.null else ")")
    if is_struct(field):
        if field.null:
            return f"codec.structure({target}, [&](auto& inner) {{ fields(codec, inner, version); }})"
        return f"fields(codec, {target}, version)"
    return f"codec.field({target}, {nullable})" if field.null else f"codec.field({target})"


def define(out, name, fields, api):
    for field in fields:
        if is_struct(field):
            define(out, f"{name}::{field.type}", field.fields, api)
    parameter = "message" if fields else "/*message*/"
    out.append(f"template <class Codec, Is<{name}> M>\nvoid fields(Codec& codec, M& {parameter}, [[maybe_unused]] int version) {{")
    for field in fields:
        if field.tag is not None:
            continue
        guard = condition(field.versions, api)
        out.append(f"  {f'if ({guard}) ' if guard else ''}{visit_call(field, api)};")
    tagged = [f for f in fields if f.tag is not None]
    if not tagged:
        out.append("  codec.no_tags();")
    else:
        out.append("  codec.tags([&](auto& tags) {")
        for field in sorted(tagged, key=lambda f: f.tag):
            guard = condition(field.versions, api)
            out.append(f"    {f'if ({guard}) ' if guard else ''}tags.tag({field.tag}, message.{field.name} == {name}().{field.name}, [&](auto& codec) {{ {visit_call(field, api)}; }});")
        out.append("  });")
    out.append("}\n")


def main():
    source, directory = sys.argv[1:]
    apis = parse(source)
    header = ["// Made by generate.py from messages.txt.", "#pragma once", "", "#include <optional>", "#include <string>", "#include <string_view>",
              "#include <vector>", "", '#include "systems/stream/protocol/wire.h"', "", "namespace polis::stream {", ""]
    fields_of = ["// Made by generate.py from messages.txt. Included by the two files that instantiate it.", "#pragma once", "",
                 "#include <concepts>", "#include <type_traits>", "", '#include "systems/stream/protocol/messages.h"', "", "namespace polis::stream {", "namespace {", "",
                 "template <class M, class T>", "concept Is = std::same_as<std::remove_const_t<M>, T>;", ""]
    header.append("enum class ApiKey : int16_t {")
    header += [f"  k{api.name} = {api.key}," for api in apis]
    header += ["};", "", "// Every api, by key.", f"inline constexpr ApiVersions kApis[] = {{"]
    header += [f'    {{{api.key}, {api.oldest}, {api.newest}, {api.flexible}, "{api.name}"}},' for api in apis]
    header += ["};", ""]
    broker, client = [], []
    for api in apis:
        for kind in ("Request", "Response"):
            name, fields = api.name + kind, api.messages[kind]
            declare(header, name, fields, kind, 0)
            header += [f"template <>", f"struct MessageOf<{name}> {{", f"  static constexpr ApiVersions kApi = {{{api.key}, {api.oldest}, {api.newest}, {api.flexible}, \"{api.name}\"}};", "};",
                       f"Result<void> decode(Decoder& decoder, {name}& message, int version);",
                       f"void encode(Encoder& encoder, const {name}& message, int version);", ""]
            define(fields_of, name, fields, api)
            read = [f"Result<void> decode(Decoder& decoder, {name}& message, int version) {{", f"  decoder.flexible(version >= {api.flexible});",
                    "  fields(decoder, message, version);", "  return decoder.status();", "}"]
            write = [f"void encode(Encoder& encoder, const {name}& message, int version) {{", f"  encoder.flexible(version >= {api.flexible});",
                     "  fields(encoder, message, version);", "}"]
            broker += read if kind == "Request" else write
            client += write if kind == "Request" else read
    header += ["}  // namespace polis::stream", ""]
    fields_of += ["}  // namespace", "}  // namespace polis::stream", ""]
    wrap = lambda lines: ["// Made by generate.py from messages.txt.", '#include "systems/stream/protocol/message_fields.h"', "", "namespace polis::stream {", "", *lines, "",
                          "}  // namespace polis::stream", ""]
    os.makedirs(directory, exist_ok=True)
    for name, lines in (("messages.h", header), ("message_fields.h", fields_of), ("broker_messages.cc", wrap(broker)), ("client_messages.cc", wrap(client))):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))


main()
