#include "systems/object/lock_command.h"

#include <boost/json.hpp>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/command_place.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

using systems::Invocation;
using LockDone = Task<Result<void>>;

// The value of a flag, "" if it was not given.
std::string flag(Invocation& call, const std::string& name) {
  return call.has(name) ? call.flags[name] : std::string();
}

std::string mode_name(const std::string& flag) {
  return flag == "compliance" ? "COMPLIANCE" : "GOVERNANCE";
}

// A setting of S3 as XML; nothing where there is none.
Task<Result<std::optional<XmlElement>>> setting(Invocation& call, std::string target) {
  auto response = co_await call.api.request("GET", target);
  if (!response && response.error().code() == Code::kNotFound) co_return std::nullopt;
  if (!response) co_return fail(response.error());
  auto parsed = parse_xml(response->body, {.bytes_max = 1u << 20, .elements_max = 1000});
  if (!parsed) co_return fail(Code::kCorrupt, "polis answered something that is no XML");
  co_return std::move(*parsed);
}

// --- of a bucket

LockDone show_bucket(Invocation& call, const Place& where) {
  auto found = CO_TRY(co_await setting(call, where.target() + "?object-lock"));
  boost::json::object out{{"bucket", where.bucket}, {"object_lock", found.has_value()}};
  const XmlElement* rule = found ? found->child("Rule") : nullptr;
  const XmlElement* retention = rule ? rule->child("DefaultRetention") : nullptr;
  if (retention) {
    out["mode"] = retention->text_of("Mode");
    for (std::string_view unit : {"Days", "Years"})
      if (auto text = retention->text_of(unit); !text.empty()) out[base::lower(unit)] = text;
  }
  call.output.document(boost::json::serialize(out));
  co_return Result<void>();
}

LockDone set_bucket(Invocation& call, const Place& where) {
  for (const char* name : {"until", "hold", "version", "bypass"})
    if (call.has(name))
      co_return fail(Code::kInvalid, "--" + std::string(name) + " is about one object: s3://" + where.bucket + "/key");
  const std::string mode = flag(call, "mode"), days = flag(call, "days"), years = flag(call, "years");
  XmlWriter xml("ObjectLockConfiguration");
  xml.element("ObjectLockEnabled", "Enabled");
  if (mode != "none") {
    if (mode.empty() || days.empty() == years.empty())
      co_return fail(Code::kInvalid, "a bucket's default needs --mode and one of --days and --years");
    xml.open("Rule").open("DefaultRetention").element("Mode", mode_name(mode));
    xml.element(days.empty() ? "Years" : "Days", days.empty() ? years : days).close().close();
  }
  CO_TRY(co_await call.api.request("PUT", where.target() + "?object-lock", xml.finish(), "application/xml"));
  co_return co_await show_bucket(call, where);
}

// --- of one version

std::string version_query(Invocation& call) {
  return call.has("version") ? "&versionId=" + base::url_encode(call.flags["version"]) : "";
}

LockDone show_version(Invocation& call, const Place& where) {
  const std::string version = version_query(call);
  auto retention = CO_TRY(co_await setting(call, where.target() + "?retention" + version));
  auto hold = CO_TRY(co_await setting(call, where.target() + "?legal-hold" + version));
  boost::json::object out{{"bucket", where.bucket}, {"key", where.key}};
  out["mode"] = retention ? retention->text_of("Mode") : "none";
  if (retention) out["until"] = retention->text_of("RetainUntilDate");
  out["hold"] = hold && hold->text_of("Status") == "ON" ? "on" : "off";
  call.output.document(boost::json::serialize(out));
  co_return Result<void>();
}

LockDone set_version(Invocation& call, const Place& where) {
  for (const char* name : {"days", "years"})
    if (call.has(name))
      co_return fail(Code::kInvalid,
                     "--" + std::string(name) + " is a bucket's default; one object is kept --until a time");
  const std::string version = version_query(call), mode = flag(call, "mode"), until = flag(call, "until");
  if (!mode.empty() || !until.empty()) {
    if (mode.empty() || (mode == "none") != until.empty())
      co_return fail(Code::kInvalid, "retention needs --mode and --until, and --mode none neither");
    XmlWriter xml("Retention");
    if (mode != "none") xml.element("Mode", mode_name(mode)).element("RetainUntilDate", until);
    // The header that it stands for travels in the query: the API's client sends none of its own.
    const std::string bypass = call.has("bypass") ? "&x-amz-bypass-governance-retention=true" : "";
    CO_TRY(co_await call.api.request("PUT", where.target() + "?retention" + version + bypass, xml.finish(),
                                     "application/xml"));
  }
  if (call.has("hold")) {
    XmlWriter xml("LegalHold");
    xml.element("Status", call.flags["hold"] == "on" ? "ON" : "OFF");
    CO_TRY(co_await call.api.request("PUT", where.target() + "?legal-hold" + version, xml.finish(), "application/xml"));
  }
  co_return co_await show_version(call, where);
}

LockDone lock(Invocation& call) {
  const Place where = CO_TRY(place(call.arguments[0]));
  bool changes = false;
  for (const char* name : {"mode", "days", "years", "until", "hold"}) changes |= call.has(name);
  if (where.key.empty()) co_return changes ? co_await set_bucket(call, where) : co_await show_bucket(call, where);
  co_return changes ? co_await set_version(call, where) : co_await show_version(call, where);
}

}  // namespace

systems::Command lock_command() {
  return {.name = "lock",
          .help = "Shows or sets what keeps versions from being removed: a bucket's default, or one object's",
          .arguments = {{.name = "place", .help = "s3://bucket or s3://bucket/key"}},
          .flags = {{.name = "mode",
                     .help = "who may shorten it: holders of a right, or nobody",
                     .value = "MODE",
                     .choices = {"governance", "compliance", "none"}},
                    {.name = "days", .help = "of new versions in this bucket", .value = "N"},
                    {.name = "years", .help = "of new versions in this bucket", .value = "N"},
                    {.name = "until", .help = "of this object, such as 2030-01-31T00:00:00Z", .value = "TIME"},
                    {.name = "hold",
                     .help = "legal hold: until it is taken off",
                     .value = "on|off",
                     .choices = {"on", "off"}},
                    {.name = "version", .help = "one version of the object", .value = "ID"},
                    {.name = "bypass", .help = "shorten governance, by s3:BypassGovernanceRetention"}},
          .run = lock};
}

}  // namespace polis::object
