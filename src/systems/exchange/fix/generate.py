#!/usr/bin/env python3
"""generate.py dictionary.txt FILE: writes the tables of dictionary.h from the description of FIX 4.4.

Tags become places: the tag itself up to the largest standard one, then the venue's own. Components are written out into
whatever names them; equal groups are kept once.
"""
import sys

TYPES = ["string", "int", "number", "count", "decimal", "char", "bool", "date", "timestamp", "time", "month", "data", "words"]
OWN_TAGS = 5000


class Member:
    def __init__(self, tag, required):
        self.tag, self.required, self.members = tag, required, None  # members: of a group


def logical_lines(path):
    lines = []
    for number, text in enumerate(open(path, encoding="utf-8"), 1):
        text = text.rstrip("\n")
        if not text.strip() or text.startswith("#"):
            continue
        if text.startswith(" "):
            lines[-1][1] += " " + text.strip()
        else:
            lines.append([number, text])
    return lines


def read_members(words, components, number):
    """Words up to a closing parenthesis or the end; components are replaced by what they are made of."""
    members = []
    while words:
        word = words.pop(0)
        if word == ")":
            return members
        required = word.endswith("!")
        word = word.rstrip("!")
        if word.startswith("@"):
            if word[1:] not in components:
                raise SystemExit(f"line {number}: no component {word[1:]}")
            for member in read_members(list(components[word[1:]]), components, number):
                member.required = member.required and required
                members.append(member)
            continue
        member = Member(int(word), required)
        if words and words[0] == "(":
            words.pop(0)
            member.members = read_members(words, components, number)
        members.append(member)
    return members


def split(text):
    return text.replace("(", " ( ").replace(")", " ) ").split()


class Tables:
    def __init__(self, fields):
        self.fields = fields
        standard = max(tag for tag in fields if tag < OWN_TAGS)
        own = sorted(tag for tag in fields if tag >= OWN_TAGS)
        self.own = own
        self.place = {tag: tag for tag in fields if tag < OWN_TAGS}
        self.place.update({tag: standard + 1 + i for i, tag in enumerate(own)})
        self.places = standard + 1 + len(own)
        self.group_rows, self.group_index, self.member_rows = [], {}, []

    def group(self, count, members):
        """Index of the group with these members; nested ones first."""
        rows = tuple((m.tag, m.required, self.group(m.tag, m.members) if m.members else -1) for m in members)
        key = (count, rows)
        if key not in self.group_index:
            self.group_index[key] = len(self.group_rows)
            self.group_rows.append((count, len(self.member_rows), len(rows)))
            self.member_rows.extend(rows)
        return self.group_index[key]


def bits(places, size):
    words = [0] * ((size + 63) // 64)
    for place in places:
        words[place // 64] |= 1 << (place % 64)
    return "{" + ", ".join(f"0x{word:x}ull" for word in words) + "}"


def main():
    source, target = sys.argv[1:]
    fields, components, messages, header, trailer = {}, {}, [], None, None
    for number, text in logical_lines(source):
        words = text.split()
        if words[0] == "field":
            if words[3] not in TYPES:
                raise SystemExit(f"line {number}: no type {words[3]}")
            fields[int(words[1])] = (words[2], words[3], words[4:])
        elif words[0] == "component":
            components[words[1]] = split(text)[2:]
        elif words[0] in ("header", "trailer"):
            if words[0] == "header":
                header = (number, split(text)[1:])
            else:
                trailer = (number, split(text)[1:])
        elif words[0] == "message":
            messages.append((number, words[1], words[2], split(text)[3:]))
        else:
            raise SystemExit(f"line {number}: what is '{words[0]}'?")
    tables = Tables(fields)

    def known(members, number):
        for member in members:
            if member.tag not in fields:
                raise SystemExit(f"line {number}: no field {member.tag}")
            known(member.members or [], number)
        return members

    header_members = known(read_members(header[1], components, header[0]), header[0])
    trailer_members = known(read_members(trailer[1], components, trailer[0]), trailer[0])
    required, groups, rows = [], [], []

    def sections(members):
        """(first, count) of the required tags, then of the groups; the required tags as a set."""
        a = len(required)
        required.extend(m.tag for m in members if m.required)
        b = len(groups)
        groups.extend((m.tag, tables.group(m.tag, m.members)) for m in members if m.members)
        needed = bits([tables.place[tag] for tag in required[a:]], tables.places)
        return a, len(required) - a, b, len(groups) - b, f"{{{needed}}}"

    head, tail = sections(header_members), sections(trailer_members)
    for number, kind, name, words in messages:
        members = known(read_members(list(words), components, number), number)
        rows.append((kind, name, bits([tables.place[m.tag] for m in members], tables.places), sections(members)))
    values, field_rows = [], []
    header_places = {tables.place[m.tag] for m in header_members}
    trailer_places = {tables.place[m.tag] for m in trailer_members}
    by_place = {tables.place[tag]: (tag, *fields[tag]) for tag in fields}
    for place in range(tables.places):
        if place in by_place:
            tag, name, kind, allowed = by_place[place]
            part = "kHeader" if place in header_places else "kTrailer" if place in trailer_places else "kBody"
            letters = [v for v in allowed if len(v) == 1]
            mask = [sum(1 << (ord(v) - 64 * half) for v in letters if ord(v) // 64 == half) for half in (0, 1)]
            field_rows.append(f'{{{tag}, FieldType::k{kind.capitalize()}, true, Part::{part}, {len(values)}, {len(allowed)}, '
                              f'{{0x{mask[0]:x}ull, 0x{mask[1]:x}ull}}, "{name}"}}')
            values.extend(sorted(allowed))
        else:
            field_rows.append('{}')
    lengths = []
    for tag, (name, kind, _) in fields.items():
        # Raw data follows the field that says how long it is; that one is named like it, with Len or Length behind.
        if kind == "data":
            before = [t for t, (n, k, _) in fields.items() if k == "number" and n in (name + "Len", name + "Length")]
            if len(before) != 1:
                raise SystemExit(f"field {tag}: no length")
            lengths.append((tag, before[0]))
    section = "{{{}, {}, {}, {}, {}}}"
    out = ["// Made by generate.py from dictionary.txt.", '#include "systems/exchange/fix/dictionary.h"', "",
           "namespace polis::exchange::fix {", ""]
    out.append(f"static_assert(kPlaces == {tables.places} && kTagMax == {tables.places - 1 - len(tables.own)});")
    out.append("const FieldInfo kFieldTable[kPlaces] = {\n" + ",\n".join(field_rows) + "};")
    out.append("const std::string_view kValueTable[] = {" + ", ".join(f'"{v}"' for v in values) + "};")
    out.append("const Tag kRequiredTable[] = {" + ", ".join(map(str, required)) + "};")
    out.append("const GroupUse kGroupUseTable[] = {" + ", ".join(f"{{{t}, {g}}}" for t, g in groups) + "};")
    out.append("const GroupInfo kGroupTable[] = {" + ", ".join(f"{{{c}, {f}, {n}}}" for c, f, n in tables.group_rows) + "};")
    out.append("const GroupMember kGroupMemberTable[] = {" +
               ", ".join(f"{{{t}, {'true' if r else 'false'}, {g}}}" for t, r, g in tables.member_rows) + "};")
    out.append(f"const Section kHeaderSection = {section.format(*head)};")
    out.append(f"const Section kTrailerSection = {section.format(*tail)};")
    out.append("const MessageInfo kMessageTable[] = {\n" +
               ",\n".join(f'{{"{k}", "{n}", {{{b}}}, {section.format(*s)}}}' for k, n, b, s in sorted(rows)) + "};")
    out.append("const size_t kMessageCount = std::size(kMessageTable);")
    out.append("const DataField kDataFields[] = {" + ", ".join(f"{{{d}, {n}}}" for d, n in sorted(lengths)) + "};")
    out.append("const size_t kDataFieldCount = std::size(kDataFields);")
    out.append("const Tag kOwnTags[] = {" + ", ".join(map(str, tables.own)) + "};")
    out.append("\n}  // namespace polis::exchange::fix\n")
    with open(target, "w", encoding="utf-8") as file:
        file.write("\n".join(out))


main()
