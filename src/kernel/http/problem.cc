#include "kernel/http/server.h"
#include "kernel/obs/json_text.h"

namespace polis::http {
ErrorDocument problem_json(const Problem& problem) {
  ErrorDocument document{"application/problem+json", "{\"title\":"};
  std::string& out = document.body;
  obs::append_json_text(out, reason_phrase(problem.status));
  out.append(",\"status\":").append(std::to_string(problem.status));
  if (!problem.detail.empty()) {
    out.append(",\"detail\":");
    obs::append_json_text(out, problem.detail);
  }
  if (!problem.clause.empty()) {
    out.append(",\"clause\":");
    obs::append_json_text(out, problem.clause);
  }
  out.append("}\n");
  return document;
}

}  // namespace polis::http
