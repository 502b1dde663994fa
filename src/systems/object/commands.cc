#include "systems/object/commands.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"
#include "systems/object/command_place.h"
#include "systems/object/lifecycle_command.h"
#include "systems/object/lock_command.h"
#include "systems/object/tier_command.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

Result<XmlElement> document(const std::string& text) {
  auto parsed = parse_xml(text, {.bytes_max = 16u << 20, .elements_max = 200'000});
  if (!parsed) return fail(Code::kCorrupt, "polis answered something that is no XML");
  return std::move(*parsed);
}

std::string decoded(std::string_view text) {
  auto plain = base::url_decode(text);
  return plain ? *plain : std::string(text);
}

std::string human(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

struct Listed {
  std::string key, modified, etag;
  uint64_t size_bytes = 0;
};

// All keys under a prefix, page by page; `each` may be called often.
Done for_each_key(Invocation& call, Place where, std::string delimiter,
                  std::function<void(const XmlElement& page)> each) {
  std::string token;
  for (;;) {
    std::string target = std::string(kApi) + "/s3/" + base::url_encode(where.bucket) +
                         "?list-type=2&encoding-type=url&prefix=" + base::url_encode(where.key);
    if (!delimiter.empty()) target += "&delimiter=" + base::url_encode(delimiter);
    if (!token.empty()) target += "&continuation-token=" + base::url_encode(token);
    auto response = CO_TRY(co_await call.api.request("GET", target));
    XmlElement page = CO_TRY(document(response.body));
    each(page);
    if (page.text_of("IsTruncated") != "true") co_return Result<void>();
    token = page.text_of("NextContinuationToken");
  }
}

std::vector<Listed> contents(const XmlElement& page) {
  std::vector<Listed> out;
  for (const XmlElement& element : page.children) {
    if (element.name != "Contents") continue;
    Listed one{.key = decoded(element.text_of("Key")),
               .modified = std::string(element.text_of("LastModified")),
               .etag = std::string(element.text_of("ETag"))};
    one.size_bytes = std::strtoull(std::string(element.text_of("Size")).c_str(), nullptr, 10);
    out.push_back(std::move(one));
  }
  return out;
}

// --- buckets and objects

Done make_bucket(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0]));
  // The header that it stands for travels in the query: the API's client sends none of its own.
  CO_TRY(co_await call.api.request(
      "PUT", where.target() + (call.has("lock") ? "?x-amz-bucket-object-lock-enabled=true" : "")));
  call.output.line("made bucket " + where.bucket);
  co_return Result<void>();
}

Done remove_bucket(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0]));
  if (call.has("force"))
    co_return co_await call.plan_and_apply("DELETE", std::string(kApi) + "/buckets/" + base::url_encode(where.bucket),
                                           "");
  CO_TRY(co_await call.api.request("DELETE", where.target()));
  call.output.line("removed bucket " + where.bucket);
  co_return Result<void>();
}

Done list(Invocation& call) {
  std::vector<std::vector<std::string>> rows;
  if (call.arguments.empty()) {
    auto response = CO_TRY(co_await call.api.request("GET", std::string(kApi) + "/buckets"));
    if (call.output.json()) {
      call.output.document(response.body);
      co_return Result<void>();
    }
    for (const json::value& bucket : json::parse(response.body).at("buckets").as_array())
      rows.push_back(
          {std::string(bucket.at("name").as_string()), std::to_string(bucket.at("objects").to_number<int64_t>()),
           human(bucket.at("size_bytes").to_number<uint64_t>()), std::string(bucket.at("versioning").as_string()),
           std::string(bucket.at("created_at").as_string())});
    call.output.table({"bucket", "objects", "size", "versioning", "made"}, rows);
    co_return Result<void>();
  }
  Place where = CO_TRY(place(call.arguments[0]));
  json::array all;
  bool as_json = call.output.json();
  CO_TRY(co_await for_each_key(call, where, call.has("recursive") ? "" : "/", [&](const XmlElement& page) {
    for (const XmlElement& element : page.children) {
      if (element.name != "CommonPrefixes") continue;
      if (as_json)
        all.push_back(json::object{{"prefix", decoded(element.text_of("Prefix"))}});
      else
        rows.push_back({"", "PREFIX", decoded(element.text_of("Prefix"))});
    }
    for (const Listed& one : contents(page)) {
      if (as_json)
        all.push_back(json::object{{"key", one.key}, {"size_bytes", one.size_bytes}, {"modified_at", one.modified}});
      else
        rows.push_back({one.modified, human(one.size_bytes), one.key});
    }
  }));
  if (as_json)
    call.output.document(json::serialize(json::object{{"objects", std::move(all)}}));
  else
    call.output.table({"modified", "size", "key"}, rows);
  co_return Result<void>();
}

Done upload(Invocation& call, std::string path, Place to) {
  if (to.key.empty() || to.key.ends_with('/')) to.key += std::filesystem::path(path).filename().string();
  CO_TRY(co_await call.api.send_file("PUT", to.target(), path, "binary/octet-stream"));
  call.output.line("upload: " + path + " to s3://" + to.bucket + "/" + to.key);
  co_return Result<void>();
}

Done download(Invocation& call, Place from, std::string path) {
  std::error_code ignored;
  if (path.ends_with('/') || std::filesystem::is_directory(path, ignored))
    path = std::filesystem::path(path) / std::filesystem::path(from.key).filename();
  if (auto parent = std::filesystem::path(path).parent_path(); !parent.empty())
    std::filesystem::create_directories(parent, ignored);
  CO_TRY(co_await call.api.receive_file(from.target(), path));
  call.output.line("download: s3://" + from.bucket + "/" + from.key + " to " + path);
  co_return Result<void>();
}

// Names below a common start must stay below the target's directory.
bool escapes(std::string_view relative) {
  for (const auto& part : std::filesystem::path(relative))
    if (part == "..") return true;
  return relative.starts_with('/');
}

Done copy_one(Invocation& call, std::string source, std::string target);

Done copy_tree(Invocation& call, std::string source, std::string target) {
  if (!remote(source)) {
    Place to = CO_TRY(place(target));
    if (!to.key.empty() && !to.key.ends_with('/')) to.key += '/';
    std::error_code error;
    std::vector<std::string> files;
    for (std::filesystem::recursive_directory_iterator it(source, error), end; !error && it != end; it.increment(error))
      if (it->is_regular_file(error)) files.push_back(it->path().string());
    if (error) co_return fail(system_error(error.value(), "reading the directory " + source));
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      Place one = to;
      one.key += std::filesystem::relative(file, source).generic_string();
      CO_TRY(co_await upload(call, file, one));
    }
    co_return Result<void>();
  }
  Place from = CO_TRY(place(source));
  std::vector<std::string> keys;
  CO_TRY(co_await for_each_key(call, from, "", [&](const XmlElement& page) {
    for (const Listed& one : contents(page)) keys.push_back(one.key);
  }));
  for (const std::string& key : keys) {
    std::string relative = key.substr(std::min(key.size(), from.key.size()));
    while (relative.starts_with('/')) relative.erase(0, 1);
    if (relative.empty()) relative = std::filesystem::path(key).filename().string();
    if (key.ends_with('/')) continue;  // an object that stands for a folder has no file
    std::string one_source = "s3://" + from.bucket + "/" + key;
    if (remote(target)) {
      CO_TRY(co_await copy_one(call, one_source, target + (target.ends_with('/') ? "" : "/") + relative));
    } else if (escapes(relative)) {
      call.output.remark("left out " + key + ": it would lie outside " + target);
    } else {
      CO_TRY(co_await download(call, {from.bucket, key}, (std::filesystem::path(target) / relative).string()));
    }
  }
  co_return Result<void>();
}

// A copy inside the store keeps its bytes there: the header cannot travel through the API's client, so the query
// carries it.
Done copy_one(Invocation& call, std::string source, std::string target) {
  if (!remote(source) && !remote(target))
    co_return fail(Code::kInvalid, "one of the two must be in the store: s3://bucket/key");
  if (!remote(source)) co_return co_await upload(call, source, CO_TRY(place(target)));
  Place from = CO_TRY(place(source, true));
  if (!remote(target)) co_return co_await download(call, from, target);
  Place to = CO_TRY(place(target));
  if (to.key.empty() || to.key.ends_with('/')) to.key += std::filesystem::path(from.key).filename().string();
  std::string text = from.bucket + "/" + from.key;
  // Encoded twice: once as the value of the header that it stands for, once as part of a query.
  CO_TRY(co_await call.api.request(
      "PUT", to.target() + "?x-amz-copy-source=" + base::url_encode(base::url_encode(text, base::Slash::kKeep))));
  call.output.line("copy: s3://" + text + " to s3://" + to.bucket + "/" + to.key);
  co_return Result<void>();
}

Done copy(Invocation& call) {
  if (call.has("recursive")) co_return co_await copy_tree(call, call.arguments[0], call.arguments[1]);
  co_return co_await copy_one(call, call.arguments[0], call.arguments[1]);
}

// Inside a bucket nothing is copied: one transaction gives the object, or all below a prefix, its new name.
Done rename_in_bucket(Invocation& call, const Place& from, Place to) {
  const bool prefix = call.has("recursive");
  if (!prefix && (to.key.empty() || to.key.ends_with('/')))
    to.key += std::filesystem::path(from.key).filename().string();
  if (prefix && to.key.empty())
    co_return fail(Code::kInvalid, "name the prefix to move to: s3://" + to.bucket + "/prefix/");
  CO_TRY(co_await call.api.request(
      "PUT", to.target() + (prefix ? "?renameObject=prefix" : "?renameObject") + "&x-amz-rename-source=" +
                 base::url_encode("/" + base::url_encode(from.bucket + "/" + from.key, base::Slash::kKeep))));
  call.output.line("move: s3://" + from.bucket + "/" + from.key + " to s3://" + to.bucket + "/" + to.key);
  co_return Result<void>();
}

Done move(Invocation& call) {
  if (remote(call.arguments[0]) && remote(call.arguments[1])) {
    const Place from = CO_TRY(place(call.arguments[0], true));
    const Place to = CO_TRY(place(call.arguments[1]));
    if (from.bucket == to.bucket) co_return co_await rename_in_bucket(call, from, to);
  }
  if (call.has("recursive"))
    co_return fail(Code::kInvalid,
                   "a prefix moves within one bucket; between buckets: polis object cp --recursive, then rm --recursive");
  CO_TRY(co_await copy_one(call, call.arguments[0], call.arguments[1]));
  if (remote(call.arguments[0])) {
    CO_TRY(co_await call.api.request("DELETE", CO_TRY(place(call.arguments[0], true)).target()));
  } else {
    std::error_code error;
    if (!std::filesystem::remove(call.arguments[0], error))
      co_return fail(system_error(error.value(), "removing " + call.arguments[0]));
  }
  co_return Result<void>();
}

Done remove(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0], !call.has("recursive")));
  if (call.has("recursive"))
    co_return co_await call.plan_and_apply("DELETE",
                                           std::string(kApi) + "/buckets/" + base::url_encode(where.bucket) +
                                               "/objects?prefix=" + base::url_encode(where.key),
                                           "");
  std::string target = where.target();
  if (call.has("version")) target += "?versionId=" + base::url_encode(call.flags["version"]);
  CO_TRY(co_await call.api.request("DELETE", target));
  call.output.line("removed s3://" + where.bucket + "/" + where.key);
  co_return Result<void>();
}

Done stat(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0]));
  if (where.key.empty()) {
    auto response =
        CO_TRY(co_await call.api.request("GET", std::string(kApi) + "/buckets/" + base::url_encode(where.bucket)));
    call.output.document(response.body);
    co_return Result<void>();
  }
  auto head = co_await call.api.request("HEAD", where.target());
  // The answer to HEAD has no body, and so no words.
  if (!head && head.error().code() == Code::kNotFound)
    co_return fail(Code::kNotFound, "there is no object s3://" + where.bucket + "/" + where.key);
  auto response = CO_TRY(std::move(head));
  json::object out{{"bucket", where.bucket}, {"key", where.key}};
  for (const auto& [name, value] : response.headers)
    if (name.starts_with("x-amz-") || name == "etag" || name == "content-length" || name == "content-type" ||
        name == "last-modified")
      out[name] = value;
  call.output.document(json::serialize(out));
  co_return Result<void>();
}

Done versions(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0]));
  std::vector<std::vector<std::string>> rows;
  std::string marker;
  for (;;) {
    std::string target = std::string(kApi) + "/s3/" + base::url_encode(where.bucket) +
                         "?versions&encoding-type=url&prefix=" + base::url_encode(where.key) + marker;
    auto response = CO_TRY(co_await call.api.request("GET", target));
    XmlElement page = CO_TRY(document(response.body));
    for (const XmlElement& element : page.children) {
      if (element.name != "Version" && element.name != "DeleteMarker") continue;
      rows.push_back({decoded(element.text_of("Key")), std::string(element.text_of("VersionId")),
                      element.text_of("IsLatest") == "true" ? "latest" : "",
                      element.name == "Version" ? std::string(element.text_of("Size")) : "delete marker",
                      std::string(element.text_of("LastModified"))});
    }
    if (page.text_of("IsTruncated") != "true") break;
    marker = "&key-marker=" + std::string(page.text_of("NextKeyMarker")) +
             "&version-id-marker=" + std::string(page.text_of("NextVersionIdMarker"));
  }
  call.output.table({"key", "version", "", "size", "modified"}, rows);
  co_return Result<void>();
}

Done presign_url(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0], true));
  // The certificate that polis makes for itself names localhost.
  const bool tls = call.has("tls");
  auto port = CO_TRY(co_await call.api.port(tls ? "object.s3_tls" : "object.s3"));
  json::object ask{{"bucket", where.bucket},
                   {"key", where.key},
                   {"method", call.flags["method"]},
                   {"expires_s", std::strtoll(call.flags["expires"].c_str(), nullptr, 10)},
                   {"endpoint", (tls ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(port)}};
  auto response = CO_TRY(co_await call.api.request("POST", std::string(kApi) + "/presign", json::serialize(ask)));
  if (call.output.json())
    call.output.document(response.body);
  else
    call.output.line(std::string(json::parse(response.body).at("url").as_string()));
  co_return Result<void>();
}

Done policy(Invocation& call) {
  Place where = CO_TRY(place(call.arguments[0]));
  std::string target = where.target() + "?policy";
  if (call.has("remove")) {
    CO_TRY(co_await call.api.request("DELETE", target));
    call.output.line("removed the policy of " + where.bucket);
  } else if (call.has("put")) {
    std::ifstream file(call.flags["put"]);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file.is_open()) co_return fail(Code::kNotFound, "cannot read " + call.flags["put"]);
    CO_TRY(co_await call.api.request("PUT", target, text));
    call.output.line("set the policy of " + where.bucket);
  } else {
    auto response = CO_TRY(co_await call.api.request("GET", target));
    call.output.document(response.body);
  }
  co_return Result<void>();
}

// --- drives

Done drives(Invocation& call) {
  if (!call.arguments.empty()) {
    if (call.arguments[0] != "add" || call.arguments.size() != 2)
      co_return fail(Code::kInvalid, "say `polis object drives`, or `polis object drives add PATH`");
    co_return co_await call.plan_and_apply("POST", std::string(kApi) + "/drives",
                                           json::serialize(json::object{{"path", call.arguments[1]}}));
  }
  auto response = CO_TRY(co_await call.api.request("GET", std::string(kApi) + "/drives"));
  if (call.output.json()) {
    call.output.document(response.body);
    co_return Result<void>();
  }
  json::value answer = json::parse(response.body);
  std::vector<std::vector<std::string>> rows;
  for (const json::value& drive : answer.at("drives").as_array())
    rows.push_back(
        {std::to_string(drive.at("index").to_number<uint64_t>()), std::string(drive.at("state").as_string()),
         human(drive.at("used_bytes").to_number<uint64_t>()), human(drive.at("available_bytes").to_number<uint64_t>()),
         std::to_string(drive.at("corrupt_blocks").to_number<uint64_t>()), std::string(drive.at("path").as_string())});
  call.output.table({"drive", "state", "used", "free", "corrupt", "path"}, rows);
  call.output.line(answer.at("protects").as_string());
  co_return Result<void>();
}

Done kill_drive(Invocation& call) {
  std::string verb = call.has("replace") ? "/replace" : "/kill";
  co_return co_await call.plan_and_apply(
      "POST", std::string(kApi) + "/drives/" + base::url_encode(call.arguments[0]) + verb, "");
}

Done drive_online(Invocation& call) {
  CO_TRY(co_await call.api.request("POST",
                                   std::string(kApi) + "/drives/" + base::url_encode(call.arguments[0]) + "/online"));
  call.output.line("drive " + call.arguments[0] + " is in service; `polis object repair` rebuilds what it missed");
  co_return Result<void>();
}

Done job(Invocation& call, std::string kind) {
  CO_TRY(co_await call.api.request("POST", std::string(kApi) + "/jobs/" + kind));
  for (;;) {
    auto response = CO_TRY(co_await call.api.request("GET", std::string(kApi) + "/jobs"));
    for (const json::value& one : json::parse(response.body).at("jobs").as_array()) {
      if (one.at("kind").as_string() != kind) continue;
      uint64_t done = one.at("done").to_number<uint64_t>(),
               total = std::max<uint64_t>(1, one.at("total").to_number<uint64_t>());
      if (one.at("running").as_bool()) {
        call.output.progress(kind, std::min(done, total - 1), total);
        continue;
      }
      call.output.progress(kind, total, total);
      if (const json::value* error = one.as_object().if_contains("error"))
        co_return fail(Code::kIo, std::string(error->as_string()));
      call.output.document(json::serialize(one));
      co_return Result<void>();
    }
    CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(100)));
  }
}
Done scrub(Invocation& call) {
  return job(call, "scrub");
}
Done repair(Invocation& call) {
  return job(call, "repair");
}
Done compact(Invocation& call) {
  return job(call, "compact");
}

Done durability(Invocation& call) {
  std::string target = std::string(kApi) + "/durability?";
  for (const char* name : {"k", "m", "afr", "repair-hours"})
    if (call.has(name))
      target += (std::string_view(name) == "repair-hours" ? "repair_hours" : name) +
                ("=" + base::url_encode(call.flags[name])) + "&";
  auto response = CO_TRY(co_await call.api.request("GET", target));
  if (call.output.json()) {
    call.output.document(response.body);
    co_return Result<void>();
  }
  json::value answer = json::parse(response.body);
  auto number = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 0.01 ? "%.2e" : "%.2f", value);
    return std::string(text);
  };
  const json::object& assumed = answer.at("assumptions").as_object();
  call.output.line(number(answer.at("nines").to_number<double>()) +
                   " nines a year, assuming: " + std::to_string(assumed.at("data_units").to_number<uint64_t>()) + "+" +
                   std::to_string(assumed.at("parity_units").to_number<uint64_t>()) +
                   ", drives failing independently at " +
                   number(100 * assumed.at("annual_failure_rate").to_number<double>()) + " % a year, repaired in " +
                   number(assumed.at("repair_hours").to_number<double>()) + " h" +
                   (assumed.at("repair_measured").as_bool() ? " (measured here)" : "") + ".");
  call.output.line("It leaves out " + std::string(assumed.at("leaves_out").as_string()) + ".");
  if (const json::value* measured = answer.as_object().if_contains("measured"))
    call.output.line("The last repair rebuilt " +
                     human(static_cast<uint64_t>(measured->at("repair_bytes_per_second").to_number<double>())) +
                     "/s: a whole drive of " + human(measured->at("drive_bytes").to_number<uint64_t>()) + " takes " +
                     number(measured->at("repair_hours").to_number<double>()) + " h, " +
                     (measured->at("within_gate").as_bool() ? "within" : "longer than") + " the " +
                     number(assumed.at("repair_gate_hours").to_number<double>()) +
                     " h that 11 nines take at 0.81 % a year.");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& line : answer.at("table").as_array())
    rows.push_back({std::string(line.at("what").as_string()), number(line.at("nines").to_number<double>()),
                    number(line.at("loss_a_year").to_number<double>()),
                    number(100 * line.at("overhead").to_number<double>()) + " %"});
  call.output.table({"", "nines", "loss a year", "overhead"}, rows);
  call.output.line(
      "\"11 nines for 4+2 and 6 for 3 copies\" compares repaired coding (8.5 hours) with copies that are never repaired.");
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> commands() {
  using systems::Argument;
  using systems::Flag;
  const Argument kBucket{.name = "bucket", .help = "s3://bucket"};
  const Argument kObject{.name = "object", .help = "s3://bucket/key"};
  const Argument kDrive{.name = "drive", .help = "number, as `polis object drives` shows it"};
  const Flag kRecursive{.name = "recursive", .help = "everything below"};
  return {
      {.name = "mb",
       .help = "Makes a bucket",
       .arguments = {kBucket},
       .flags = {{.name = "lock", .help = "with versions, and object lock switched on"}},
       .run = make_bucket},
      {.name = "rb",
       .help = "Removes a bucket",
       .arguments = {kBucket},
       .flags = {{.name = "force", .help = "with all its objects, by plan"}},
       .destructive = true,
       .run = remove_bucket},
      {.name = "ls",
       .help = "Lists buckets, or objects below a prefix",
       .arguments = {{.name = "place", .help = "s3://bucket/prefix", .required = false}},
       .flags = {kRecursive},
       .run = list},
      {.name = "cp",
       .help = "Copies files into, out of or inside the store",
       .arguments = {{.name = "source", .help = "file or s3://bucket/key"},
                     {.name = "target", .help = "file or s3://bucket/key"}},
       .flags = {kRecursive},
       .run = copy},
      {.name = "mv",
       .help = "Moves: within a bucket at once and without copying, else by a copy",
       .arguments = {{.name = "source", .help = "file or s3://bucket/key"},
                     {.name = "target", .help = "file or s3://bucket/key"}},
       .flags = {kRecursive},
       .run = move},
      {.name = "rm",
       .help = "Removes an object, or all below a prefix by plan",
       .arguments = {kObject},
       .flags = {kRecursive, {.name = "version", .help = "one version of it", .value = "ID"}},
       .destructive = true,
       .run = remove},
      {.name = "stat", .help = "What is known about an object or a bucket", .arguments = {kObject}, .run = stat},
      {.name = "versions", .help = "All versions below a prefix", .arguments = {kObject}, .run = versions},
      {.name = "presign",
       .help = "A URL that lets anybody do one thing for a while",
       .arguments = {kObject},
       .flags = {{.name = "expires", .help = "how long it works", .value = "SECONDS", .value_default = "3600"},
                 {.name = "method",
                  .help = "what it allows",
                  .value = "METHOD",
                  .value_default = "GET",
                  .choices = {"GET", "PUT", "HEAD", "DELETE"}},
                 {.name = "tls", .help = "on the port with TLS"}},
       .run = presign_url},
      {.name = "policy",
       .help = "Shows, sets or removes the policy of a bucket",
       .arguments = {kBucket},
       .flags = {{.name = "put", .help = "set it from this file", .value = "FILE"},
                 {.name = "remove", .help = "remove it"}},
       .run = policy},
      lock_command(),
      lifecycle_command(),
      tier_command(),
      {.name = "drives",
       .help = "The drives below the store; `add PATH` takes an empty directory into it, by plan",
       .arguments = {{.name = "add", .help = "add", .required = false},
                     {.name = "path", .help = "absolute path of an empty directory", .required = false}},
       .run = drives},
      {.name = "kill-drive",
       .help = "Takes a drive out of service, by plan",
       .arguments = {kDrive},
       .flags = {{.name = "replace", .help = "put an empty one in its place, to be repaired"}},
       .destructive = true,
       .run = kill_drive},
      {.name = "drive-online", .help = "Brings a drive back into service", .arguments = {kDrive}, .run = drive_online},
      {.name = "scrub", .help = "Reads everything once and verifies it", .run = scrub},
      {.name = "repair", .help = "Rebuilds what is missing or damaged", .run = repair},
      {.name = "compact", .help = "Gives the space of removed objects back", .run = compact},
      {.name = "durability",
       .help = "How likely a year passes without loss, and under which assumptions",
       .flags = {{.name = "k", .help = "data units", .value = "N"},
                 {.name = "m", .help = "parity units", .value = "N"},
                 {.name = "afr", .help = "annual failure rate of a drive", .value = "RATE"},
                 {.name = "repair-hours", .help = "from a failure to full redundancy", .value = "HOURS"}},
       .run = durability},
  };
}

}  // namespace polis::object
