#include "systems/object/console_api.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <span>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/api.h"
#include "systems/object/gateway.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

namespace json = boost::json;

constexpr size_t kRemovalBytesMax = 4 << 20;  // 1000 keys of 1 KiB, escaped
constexpr uint64_t kSliceBytesMin = 64 * 1024;

struct Slice {
  uint64_t extent, from, to;
};

char cell_of(const blob::PoolPicture& picture, const blob::ExtentStatus& extent, const Slice& slice,
             const blob::DriveStatus& drive) {
  uint32_t bit = uint32_t{1} << drive.index;
  if (extent.drives != 0 && !(extent.drives & bit)) return '.';  // no unit of it lies there
  if (drive.state == blob::DriveState::kMissing || drive.state == blob::DriveState::kFailed) return 'm';
  for (const blob::DamagedRow& row : picture.damaged)
    if (row.extent == slice.extent && row.offset >= slice.from && row.offset < slice.to && (row.drives & bit))
      return 'd';
  if (picture.repairing & bit) {
    if (slice.extent < picture.repair_extent) return 'o';
    if (slice.extent > picture.repair_extent) return 's';
    if (slice.to <= picture.repair_offset) return 'o';
    return slice.from <= picture.repair_offset ? 'r' : 's';
  }
  if (extent.growing) return extent.absent & bit ? 's' : 'o';
  bool unsure = drive.state == blob::DriveState::kReplacing || (picture.stale & bit);
  return unsure ? 's' : 'o';
}

Code code_of(int status) {
  switch (status) {
    case 403:
      return Code::kDenied;
    case 404:
      return Code::kNotFound;
    case 503:
      return Code::kBusy;
  }
  return status >= 500 ? Code::kIo : Code::kInvalid;
}

uint64_t slice_size(std::span<const blob::ExtentStatus> extents) {
  for (uint64_t size = kSliceBytesMin;; size *= 2) {
    uint64_t count = 0;
    for (const blob::ExtentStatus& extent : extents)
      count += std::max<uint64_t>(1, (extent.file_bytes + size - 1) / size);
    if (count <= std::max(kStripeRowsMax, extents.size()) || size >= (uint64_t{1} << 40)) return size;
  }
}

}  // namespace

std::string stripes_json(const blob::PoolPicture& picture, const std::vector<blob::DriveStatus>& drives) {
  auto cells_of = [&](const blob::ExtentStatus& extent, const Slice& slice) {
    std::string cells;
    for (const blob::DriveStatus& drive : drives) cells += cell_of(picture, extent, slice, drive);
    return cells;
  };
  size_t hidden = picture.extents.size() - std::min(picture.extents.size(), kStripeExtentsMax);
  uint64_t size = slice_size(std::span(picture.extents).subspan(hidden)), file_bytes = 0, live_bytes = 0,
           hidden_reduced = 0;
  json::object rows;
  for (size_t i = 0; i < picture.extents.size(); ++i) {
    const blob::ExtentStatus& extent = picture.extents[i];
    file_bytes += extent.file_bytes;
    live_bytes += extent.live_bytes;
    if (i < hidden) {
      std::string cells = cells_of(extent, {extent.id, 0, extent.file_bytes});
      hidden_reduced += extent.homeless > 0 || cells.find_first_not_of("o.") != std::string::npos;
      continue;
    }
    for (uint64_t from = 0; from < std::max<uint64_t>(1, extent.file_bytes); from += size) {
      Slice slice{extent.id, from, std::min(from + size, extent.file_bytes)};
      json::object row{
          {"extent", extent.id}, {"from", slice.from}, {"to", slice.to}, {"cells", cells_of(extent, slice)}};
      if (extent.scheme.data_units != 0 && extent.scheme != blob::Scheme{static_cast<uint8_t>(picture.data_units),
                                                                         static_cast<uint8_t>(picture.parity_units)}) {
        row["data_units"] = extent.scheme.data_units;
        row["parity_units"] = extent.scheme.parity_units;
      }
      if (extent.homeless > 0) row["homeless"] = extent.homeless;
      rows[std::to_string(extent.id) + "." + std::to_string(from / size)] = std::move(row);
    }
  }
  return json::serialize(json::object{{"data_units", picture.data_units},
                                      {"parity_units", picture.parity_units},
                                      {"slice_bytes", size},
                                      {"repairing", picture.repairing != 0},
                                      {"extents", picture.extents.size()},
                                      {"hidden_extents", hidden},
                                      {"hidden_reduced", hidden_reduced},
                                      {"file_bytes", file_bytes},
                                      {"live_bytes", live_bytes},
                                      {"rows", std::move(rows)}});
}

Result<void> ConsoleApi::declare_topics(systems::LiveTopics& topics) {
  return topics.declare({.name = "object.stripes",
                         .action = "object:ReadStatus",
                         .interval = std::chrono::milliseconds(200),
                         .sample = [this]() -> Task<Result<std::string>> {
                           co_return stripes_json(server_.blob().picture(), server_.blob().drives());
                         }});
}

// --- plans that remove objects

// Exactly these objects, as they are now.
struct ConsoleApi::Removal {
  struct Item {
    std::string key, etag;
    uint64_t size_bytes = 0;
    std::string version;         // empty: the newest, in S3's way: a versioned bucket gets a delete marker
    bool delete_marker = false;  // what `version` names is one
  };
  auth::PrincipalPtr principal;
  std::string bucket;
  std::vector<std::string> keys;
  std::string prefix;
  std::vector<std::string> versions;  // of the one key
  std::vector<Item> items;
};

void ConsoleApi::mount(http::Router& router) {
  mount_gateway(router, server_);
  systems::mount_plan(router, http::Method::kPost, "/api/object/v1/buckets/{bucket}/remove", "", plans_,
                      [this](http::Request& request) { return plan_removal(request); });
}

// Body: {"keys":["a","b"]}, {"prefix":"2024/"} or {"keys":["a"],"versions":["18f…"]}, which removes for good; at most a
// thousand of them either way.
Task<Result<systems::PlanDraft>> ConsoleApi::plan_removal(http::Request& request) {
  Removal removal;
  removal.principal = systems::principal(request);
  removal.bucket = request.param("bucket");
  if (auto checked = check_bucket_name(removal.bucket); !checked)
    co_return fail(Code::kInvalid, checked.error().message());
  Bytes text = CO_TRY(co_await request.read_all(kRemovalBytesMax));
  boost::system::error_code error;
  json::value body = json::parse(as_text(text), error);
  if (error || !body.is_object())
    co_return fail(Code::kInvalid, "the body must be a JSON object with \"keys\" or \"prefix\"");
  if (const json::value* prefix = body.get_object().if_contains("prefix"); prefix && prefix->is_string())
    removal.prefix = prefix->get_string();
  if (const json::value* keys = body.get_object().if_contains("keys"); keys && keys->is_array())
    for (const json::value& key : keys->get_array()) {
      if (!key.is_string()) co_return fail(Code::kInvalid, "\"keys\" must be texts");
      removal.keys.emplace_back(key.get_string());
    }
  if (const json::value* versions = body.get_object().if_contains("versions")) {
    if (!versions->is_array() || versions->get_array().empty() || removal.keys.size() != 1)
      co_return fail(Code::kInvalid, "\"versions\" are a list of ids, of the one key that \"keys\" names");
    for (const json::value& version : versions->get_array()) {
      if (!version.is_string()) co_return fail(Code::kInvalid, "\"versions\" must be texts");
      removal.versions.emplace_back(version.get_string());
    }
  }
  if (removal.versions.size() > kDeleteObjectsMax)
    co_return fail(Code::kTooLarge, "a plan removes at most 1000 versions");
  if (removal.keys.empty() == removal.prefix.empty())
    co_return fail(Code::kInvalid, "name either \"keys\" or a \"prefix\"");
  if (removal.keys.size() > kDeleteObjectsMax) co_return fail(Code::kTooLarge, "a plan removes at most 1000 objects");
  co_return co_await draft_removal(std::move(removal));
}

// Appends what begins with the prefix, as the one who asks may see it; true when there is more.
Task<Result<bool>> ConsoleApi::list(Removal& removal, const std::string& prefix, size_t limit) {
  LocalRequest request{.method = "GET",
                       .target = "/" + removal.bucket + "?list-type=2&encoding-type=url&max-keys=" +
                                 std::to_string(limit) + "&prefix=" + base::url_encode(prefix),
                       .fields = {},
                       .body = ""};
  LocalAnswer answer = CO_TRY(co_await ask(server_, removal.principal, request));
  auto document = parse_xml(answer.body);
  if (!document) co_return fail(Code::kIo, "the bucket's listing could not be read: " + document.error().message());
  if (answer.status != 200) co_return fail(code_of(answer.status), std::string(document->text_of("Message")));
  for (const XmlElement& child : document->children) {
    if (child.name != "Contents") continue;
    std::string_view etag = child.text_of("ETag"), size = child.text_of("Size");
    uint64_t size_bytes = 0;
    std::from_chars(size.data(), size.data() + size.size(), size_bytes);
    removal.items.push_back({.key = CO_TRY(base::url_decode(child.text_of("Key"))),
                             .etag = std::string(etag),
                             .size_bytes = size_bytes,
                             .version = {}});
  }
  co_return document->text_of("IsTruncated") == "true";
}

// Appends the versions that are asked for, as the one who asks may see them; kNotFound unless all are there.
Task<Result<void>> ConsoleApi::list_versions(Removal& removal) {
  // A hundred pages are 100,000 versions of one key, far beyond what a person looks at.
  constexpr int kPagesMax = 100;
  const std::string& key = removal.keys.front();
  std::string marker;
  for (int page = 0; page < kPagesMax && removal.items.size() < removal.versions.size(); ++page) {
    LocalRequest request{.method = "GET",
                         .target = "/" + removal.bucket + "?versions&encoding-type=url&max-keys=1000&prefix=" +
                                   base::url_encode(key) + marker,
                         .fields = {},
                         .body = ""};
    LocalAnswer answer = CO_TRY(co_await ask(server_, removal.principal, request));
    auto document = parse_xml(answer.body);
    if (!document)
      co_return fail(Code::kIo, "the bucket's versions could not be read: " + document.error().message());
    if (answer.status != 200) co_return fail(code_of(answer.status), std::string(document->text_of("Message")));
    for (const XmlElement& child : document->children) {
      const bool marks = child.name == "DeleteMarker";
      if (!marks && child.name != "Version") continue;
      if (CO_TRY(base::url_decode(child.text_of("Key"))) != key) continue;
      std::string version(child.text_of("VersionId"));
      if (std::ranges::find(removal.versions, version) == removal.versions.end()) continue;
      uint64_t size_bytes = 0;
      std::string_view size = child.text_of("Size");
      std::from_chars(size.data(), size.data() + size.size(), size_bytes);
      removal.items.push_back({.key = key,
                               .etag = std::string(child.text_of("ETag")),
                               .size_bytes = size_bytes,
                               .version = std::move(version),
                               .delete_marker = marks});
    }
    if (document->text_of("IsTruncated") != "true") break;
    marker = "&key-marker=" + std::string(document->text_of("NextKeyMarker")) +
             "&version-id-marker=" + std::string(document->text_of("NextVersionIdMarker"));
    // Keys that only begin with this one come behind all of its versions.
    if (CO_TRY(base::url_decode(document->text_of("NextKeyMarker"))) != key) break;
  }
  if (removal.items.size() != removal.versions.size())
    co_return fail(Code::kNotFound, "some of these versions of '" + key + "' are not there any more");
  co_return Result<void>();
}

Task<Result<systems::PlanDraft>> ConsoleApi::draft_removal(Removal removal) {
  bool more = false;
  if (!removal.prefix.empty()) more = CO_TRY(co_await list(removal, removal.prefix, kDeleteObjectsMax));
  const bool by_version = !removal.versions.empty();
  if (by_version) CO_TRY(co_await list_versions(removal));
  for (size_t at = 0; at < removal.keys.size() && !by_version; ++at) {
    const std::string& key = removal.keys[at];
    // The key itself sorts before everything else that begins with it.
    size_t before = removal.items.size();
    CO_TRY(co_await list(removal, key, 1));
    if (removal.items.size() == before || removal.items.back().key != key)
      co_return fail(Code::kNotFound, "there is no object '" + key + "' any more");
  }
  if (removal.items.empty()) co_return fail(Code::kNotFound, "no object begins with '" + removal.prefix + "'");

  systems::PlanDraft draft;
  const std::string many = std::to_string(removal.items.size());
  if (by_version)
    draft.title = "Remove " + (removal.items.size() == 1 ? "a version" : many + " versions") + " of " +
                  removal.keys.front() + " from bucket " + removal.bucket + " for good";
  else
    draft.title = "Remove " + (removal.items.size() == 1 ? removal.items.front().key : many + " objects") +
                  " from bucket " + removal.bucket;
  if (more) draft.title += " (the first thousand; ask again for the rest)";
  for (const Removal::Item& item : removal.items) {
    draft.touches.push_back(item.key + (item.version.empty() ? "" : " version " + item.version) +
                            (item.delete_marker ? ", a delete marker: what it covers shows again"
                                                : ", " + std::to_string(item.size_bytes) + " bytes"));
    draft.touched_bytes += item.size_bytes;
  }
  draft.touched_count = removal.items.size();
  draft.apply = [this, removal = std::move(removal)]() -> Task<Result<std::string>> {
    co_return co_await remove(removal);
  };
  co_return draft;
}

// S3's own DeleteObjects, as the one who asked; each object only if it is still the one that was listed.
Task<Result<std::string>> ConsoleApi::remove(const Removal& removal) {
  XmlWriter xml("Delete");
  xml.element("Quiet", "true");
  for (const Removal::Item& item : removal.items) {
    xml.open("Object").element("Key", item.key);
    if (!item.version.empty()) xml.element("VersionId", item.version);
    if (!item.delete_marker) xml.element("ETag", item.etag);
    xml.close();
  }
  LocalRequest request{
      .method = "POST", .target = "/" + removal.bucket + "?delete", .fields = {}, .body = xml.finish()};
  request.fields = {{"Content-MD5", base::base64_encode(base::md5(request.body))}};
  LocalAnswer answer = CO_TRY(co_await ask(server_, removal.principal, request));
  auto document = parse_xml(answer.body);
  if (answer.status != 200) {
    std::string message(document ? document->text_of("Message") : "");
    co_return fail(code_of(answer.status), "nothing was removed: " + message);
  }
  json::array kept;
  if (document)
    for (const XmlElement& child : document->children)
      if (child.name == "Error") kept.push_back({{"key", child.text_of("Key")}, {"message", child.text_of("Message")}});
  co_return json::serialize(json::object{{"removed", removal.items.size() - kept.size()}, {"kept", std::move(kept)}});
}

}  // namespace polis::object
