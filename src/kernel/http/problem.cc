#include "kernel/base/text_encoding.h"
#include "kernel/http/server.h"

namespace polis::http {
namespace {

void append_json_string(std::string& out, std::string_view text) {
  const bool utf8 = base::utf8_valid(text);
  out.push_back('"');
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8)) {
      // Text that quotes a request need not be UTF-8; as code points up to U+00FF it stays valid JSON whatever it was.
      out.append("\\u00");
      out.push_back("0123456789abcdef"[byte >> 4]);
      out.push_back("0123456789abcdef"[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

}  // namespace

ErrorDocument problem_json(const Problem& problem) {
  ErrorDocument document{"application/problem+json", "{\"title\":"};
  std::string& out = document.body;
  append_json_string(out, reason_phrase(problem.status));
  out.append(",\"status\":").append(std::to_string(problem.status));
  if (!problem.detail.empty()) {
    out.append(",\"detail\":");
    append_json_string(out, problem.detail);
  }
  if (!problem.clause.empty()) {
    out.append(",\"clause\":");
    append_json_string(out, problem.clause);
  }
  out.append("}\n");
  return document;
}

}  // namespace polis::http
