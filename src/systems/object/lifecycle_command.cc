#include "systems/object/lifecycle_command.h"

#include <boost/json.hpp>
#include <fstream>

#include "kernel/base/time_format.h"
#include "systems/object/command_place.h"
#include "systems/object/lifecycle.h"

namespace polis::object {
namespace {

using systems::Invocation;

std::string in_days(uint32_t days) {
  return std::to_string(days) + (days == 1 ? " day" : " days");
}

// "expires after 3 days; noncurrent ones after 7 days" and its like.
std::string told(const LifecycleRule& rule) {
  std::vector<std::string> parts;
  for (const auto& one : rule.transitions)
    parts.push_back("to " + one.storage_class +
                    (one.days ? " after " + in_days(*one.days) : " on " + base::format_rfc3339_seconds(*one.date)));
  if (rule.expiration_days) parts.push_back("expires after " + in_days(*rule.expiration_days));
  if (rule.expiration_date) parts.push_back("expires on " + base::format_rfc3339_seconds(*rule.expiration_date));
  if (rule.expire_delete_marker) parts.push_back("lone delete markers go");
  for (const auto& one : rule.noncurrent_transitions)
    parts.push_back("noncurrent ones to " + one.storage_class + " after " + in_days(*one.days));
  if (rule.noncurrent_days)
    parts.push_back("noncurrent ones go after " + in_days(*rule.noncurrent_days) +
                    (rule.newer_noncurrent_versions
                         ? ", but for the newest " + std::to_string(*rule.newer_noncurrent_versions)
                         : ""));
  if (rule.abort_upload_days) parts.push_back("uploads are aborted after " + in_days(*rule.abort_upload_days));
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : "; ") + part;
  return out;
}

std::string filter(const LifecycleRule& rule) {
  std::string out = rule.prefix + "*";
  for (const auto& [key, value] : rule.tags) out += " " + key + "=" + value;
  if (rule.size_above_bytes) out += " > " + std::to_string(*rule.size_above_bytes) + " B";
  if (rule.size_below_bytes) out += " < " + std::to_string(*rule.size_below_bytes) + " B";
  return out;
}

Task<Result<void>> show(Invocation& call, std::string target) {
  auto response = CO_TRY(co_await call.api.request("GET", target));
  auto document = parse_xml(response.body, {.bytes_max = 2u << 20});
  auto rules = document ? parse_lifecycle(*document, 0) : refuse(document.error());
  if (!rules) co_return fail(Code::kCorrupt, "polis answered rules that it would not take itself");
  if (call.output.json()) {
    boost::json::array out;
    for (const LifecycleRule& rule : *rules)
      out.push_back(boost::json::object{
          {"id", rule.id}, {"enabled", rule.enabled}, {"filter", filter(rule)}, {"actions", told(rule)}});
    call.output.document(boost::json::serialize(boost::json::object{{"rules", std::move(out)}}));
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  for (const LifecycleRule& rule : *rules)
    rows.push_back({rule.id, rule.enabled ? "on" : "off", filter(rule), told(rule)});
  call.output.table({"rule", "", "objects", "what"}, rows);
  co_return Result<void>();
}

Task<Result<void>> lifecycle(Invocation& call) {
  const Place where = CO_TRY(place(call.arguments[0]));
  if (!where.key.empty()) co_return fail(Code::kInvalid, "lifecycle rules are a bucket's: s3://" + where.bucket);
  const std::string target = where.target() + "?lifecycle";
  if (call.has("remove")) {
    CO_TRY(co_await call.api.request("DELETE", target));
    call.output.line("removed the lifecycle rules of " + where.bucket);
    co_return Result<void>();
  }
  if (!call.has("put")) co_return co_await show(call, target);
  std::ifstream file(call.flags["put"]);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open()) co_return fail(Code::kNotFound, "cannot read " + call.flags["put"]);
  CO_TRY(co_await call.api.request("PUT", target, text, "application/xml"));
  call.output.line("set the lifecycle rules of " + where.bucket);
  co_return Result<void>();
}

}  // namespace

systems::Command lifecycle_command() {
  return {.name = "lifecycle",
          .help = "Shows, sets or removes the lifecycle rules of a bucket",
          .arguments = {{.name = "bucket", .help = "s3://bucket"}},
          .flags = {{.name = "put", .help = "set them from this XML file, as S3 has it", .value = "FILE"},
                    {.name = "remove", .help = "remove them"}},
          .run = lifecycle};
}

}  // namespace polis::object
