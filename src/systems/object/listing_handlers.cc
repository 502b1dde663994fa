// ListBuckets, ListObjects v1 and v2, ListObjectVersions.
#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

// Texts of a listing: as they are, or percent-encoded when the client asked for encoding-type=url.
class TextForm {
 public:
  static Answer<TextForm> of(const Call& call) {
    auto asked = call.query.find_value("encoding-type");
    if (asked && *asked != "url")
      return refuse(Failure(ErrorCode::kInvalidArgument, "Invalid Encoding Method specified in Request")
                        .detail("ArgumentName", "encoding-type")
                        .detail("ArgumentValue", std::string(*asked)));
    TextForm form;
    form.encoded_ = asked.has_value();
    return form;
  }
  std::string operator()(std::string_view text) const {
    return encoded_ ? base::url_encode(text, base::Slash::kKeep) : std::string(text);
  }
  void say(XmlWriter& xml) const {
    if (encoded_) xml.element("EncodingType", "url");
  }

 private:
  bool encoded_ = false;
};

// Ceph's allow-unordered: our listings are ordered at no cost, so it changes nothing; with a delimiter it is an error there.
Answer<void> check_unordered(const Call& call) {
  if (call.query.get("allow-unordered") == "true" && !call.query.get("delimiter").empty())
    return refuse(ErrorCode::kInvalidArgument, "allow-unordered cannot be used with a delimiter");
  return {};
}

Answer<size_t> max_keys_of(const Call& call) {
  auto text = call.query.find_value("max-keys");
  if (!text || text->empty()) return kListKeysMax;
  return ASK(number_of("max-keys", *text, 0, INT32_MAX));
}

// Continuation tokens are opaque to clients; a mark in front tells ours from anything else.
std::string token_of(std::string_view last) {
  return base::base64_encode(as_bytes("1" + std::string(last)), base::Base64::kUrl);
}
Answer<std::string> last_of_token(std::string_view token) {
  auto raw = base::base64_decode(token, base::Base64::kUrl);
  if (!raw || raw->empty() || as_text(*raw).front() != '1')
    return refuse(Failure(ErrorCode::kInvalidArgument, "The continuation token provided is incorrect")
                      .detail("ArgumentName", "continuation-token"));
  return std::string(as_text(*raw).substr(1));
}

void write_owner(XmlWriter& xml, const std::string& canonical_id, const std::string& display_name) {
  xml.open("Owner").element("ID", canonical_id).element("DisplayName", display_name).close();
}

void write_checksum_algorithm(XmlWriter& xml, const ObjectVersion& version) {
  if (!version.checksum) return;
  xml.element("ChecksumAlgorithm", name(version.checksum.algorithm))
      .element("ChecksumType", name(version.checksum.type));
}

std::string_view storage_class_of(const ObjectVersion& version) {
  return version.metadata.storage_class.empty() ? std::string_view("STANDARD") : version.metadata.storage_class;
}

}  // namespace

// GET /?usage, as Ceph's clients ask: what the account holds, and its quotas; -1 means none.
Service::Done Service::account_usage(Call& call) {
  if (call.principal->anonymous()) co_return refuse(ErrorCode::kAccessDenied);
  auto txn = CO_ASK(co_await begin());
  Owner owner = call.caller();
  Usage sum;
  std::string after;
  for (bool more = true; more;) {
    BucketPage page = CO_ASK(co_await engine_.list_buckets(*txn, &owner, "", after, kListKeysMax));
    for (const Bucket& bucket : page.buckets) {
      sum += CO_ASK(co_await engine_.usage(*txn, bucket.id));
      after = bucket.name;
    }
    more = page.more;
  }
  txn.reset();
  auto size = [](int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(0, value)); };
  XmlWriter xml("Usage", XmlWriter::Plain{});
  xml.open("Summary");
  xml.element("QuotaMaxBytes", "-1").element("QuotaMaxBuckets", uint64_t{kBucketsPerOwnerMax});
  xml.element("QuotaMaxObjCount", "-1").element("QuotaMaxBytesPerBucket", "-1").element("QuotaMaxObjCountPerBucket", "-1");
  xml.element("TotalBytes", size(sum.size_bytes)).element("TotalEntries", size(sum.versions));
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::list_buckets(Call& call) {
  if (call.query.has("usage")) co_return co_await account_usage(call);
  if (call.principal->anonymous()) co_return refuse(ErrorCode::kAccessDenied);
  Bucket none;  // ListAllMyBuckets is about the caller's own account
  none.owner = call.caller();
  auth::Context context = context_of(call, "", nullptr, {});
  Asked asked{.principal = call.principal.get(),
              .action = "s3:ListAllMyBuckets",
              .resource = "*",
              .bucket = &none,
              .context = &context};
  if (!allowed(asked)) co_return refuse(ErrorCode::kAccessDenied);

  size_t limit = 10'000;
  bool paged = call.query.has("max-buckets");
  if (paged) limit = CO_ASK(number_of("max-buckets", call.query.get("max-buckets"), 1, 10'000));
  std::string after;
  if (auto token = call.query.find_value("continuation-token"); token && !token->empty())
    after = CO_ASK(last_of_token(*token));
  auto txn = CO_ASK(co_await begin());
  Owner owner = call.caller();
  BucketPage page = CO_ASK(co_await engine_.list_buckets(*txn, &owner, call.query.get("prefix"), after, limit));
  txn.reset();

  XmlWriter xml("ListAllMyBucketsResult");
  write_owner(xml, owner.canonical_id, co_await display_name(owner.canonical_id));
  xml.open("Buckets");
  for (const Bucket& bucket : page.buckets) {
    xml.open("Bucket").element("Name", bucket.name).element("CreationDate", base::format_rfc3339(bucket.created_at));
    if (paged || call.query.has("prefix"))
      xml.element("BucketRegion", bucket.region.empty() ? options_.region : bucket.region);
    xml.close();
  }
  xml.close();
  if (page.more) xml.element("ContinuationToken", token_of(page.buckets.back().name));
  if (call.query.has("prefix")) xml.element("Prefix", call.query.get("prefix"));
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::list_objects_v1(Call& call) {
  CO_ASK(check_unordered(call));
  TextForm form = CO_ASK(TextForm::of(call));
  size_t asked = CO_ASK(max_keys_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, "", "s3:ListBucket"));
  ListQuery query{.prefix = std::string(call.query.get("prefix")),
                  .delimiter = std::string(call.query.get("delimiter")),
                  .after = std::string(call.query.get("marker")),
                  .limit = std::min(asked, kListKeysMax)};
  Listing listing = CO_ASK(co_await engine_.list(*txn, bucket.id, query));
  txn.reset();

  XmlWriter xml("ListBucketResult");
  // Clients of version 1 decode every text but the prefix.
  xml.element("Name", bucket.name).element("Prefix", query.prefix).element("Marker", form(query.after));
  xml.element("MaxKeys", uint64_t{asked});
  if (!query.delimiter.empty()) xml.element("Delimiter", form(query.delimiter));
  form.say(xml);
  xml.element("IsTruncated", listing.truncated);
  // Only a listing with a delimiter says where it goes on; without one the last key does.
  if (listing.truncated && !query.delimiter.empty()) xml.element("NextMarker", form(listing.last));
  for (const ListEntry& entry : listing.entries) {
    xml.open("Contents")
        .element("Key", form(entry.key))
        .element("LastModified", base::format_rfc3339(entry.version.modified_at));
    xml.element("ETag", "\"" + entry.version.etag + "\"");
    write_checksum_algorithm(xml, entry.version);
    xml.element("Size", entry.version.size_bytes).element("StorageClass", storage_class_of(entry.version));
    const std::string& id = entry.version.owner.canonical_id;
    write_owner(xml, id, co_await display_name(id));
    xml.close();
  }
  for (const std::string& prefix : listing.common_prefixes)
    xml.open("CommonPrefixes").element("Prefix", form(prefix)).close();
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::list_objects_v2(Call& call) {
  CO_ASK(check_unordered(call));
  if (call.query.get("list-type") != "2") co_return refuse(ErrorCode::kInvalidArgument, "list-type must be 2");
  TextForm form = CO_ASK(TextForm::of(call));
  size_t asked = CO_ASK(max_keys_of(call));
  bool with_owner = call.query.get("fetch-owner") == "true";
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, "", "s3:ListBucket"));
  ListQuery query{.prefix = std::string(call.query.get("prefix")),
                  .delimiter = std::string(call.query.get("delimiter")),
                  .after = std::string(call.query.get("start-after")),
                  .limit = std::min(asked, kListKeysMax)};
  auto token = call.query.find_value("continuation-token");
  if (token && !token->empty()) query.after = CO_ASK(last_of_token(*token));
  Listing listing = CO_ASK(co_await engine_.list(*txn, bucket.id, query));
  txn.reset();

  XmlWriter xml("ListBucketResult");
  xml.element("Name", bucket.name).element("Prefix", form(query.prefix));
  if (call.query.has("start-after")) xml.element("StartAfter", form(call.query.get("start-after")));
  if (token) xml.element("ContinuationToken", *token);
  if (listing.truncated) xml.element("NextContinuationToken", token_of(listing.last));
  xml.element("KeyCount", uint64_t{listing.entries.size() + listing.common_prefixes.size()});
  xml.element("MaxKeys", uint64_t{asked});
  if (!query.delimiter.empty()) xml.element("Delimiter", form(query.delimiter));
  form.say(xml);
  xml.element("IsTruncated", listing.truncated);
  for (const ListEntry& entry : listing.entries) {
    xml.open("Contents")
        .element("Key", form(entry.key))
        .element("LastModified", base::format_rfc3339(entry.version.modified_at));
    xml.element("ETag", "\"" + entry.version.etag + "\"");
    write_checksum_algorithm(xml, entry.version);
    xml.element("Size", entry.version.size_bytes).element("StorageClass", storage_class_of(entry.version));
    if (with_owner) {
      const std::string& id = entry.version.owner.canonical_id;
      write_owner(xml, id, co_await display_name(id));
    }
    xml.close();
  }
  for (const std::string& prefix : listing.common_prefixes)
    xml.open("CommonPrefixes").element("Prefix", form(prefix)).close();
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::list_versions(Call& call) {
  TextForm form = CO_ASK(TextForm::of(call));
  size_t asked = CO_ASK(max_keys_of(call));
  std::string_view id_marker = call.query.get("version-id-marker");
  VersionListQuery query{.prefix = std::string(call.query.get("prefix")),
                         .delimiter = std::string(call.query.get("delimiter")),
                         .key_after = std::string(call.query.get("key-marker")),
                         .limit = std::min(asked, kListKeysMax)};
  if (!id_marker.empty()) {
    if (query.key_after.empty())
      co_return refuse(ErrorCode::kInvalidArgument, "A version-id marker cannot be specified without a key marker.");
    query.version_after = CO_ASK(VersionId::parse(id_marker));
  }
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, "", "s3:ListBucketVersions"));
  VersionListing listing = CO_ASK(co_await engine_.list_versions(*txn, bucket.id, query));
  txn.reset();

  XmlWriter xml("ListVersionsResult");
  xml.element("Name", bucket.name).element("Prefix", form(query.prefix)).element("KeyMarker", form(query.key_after));
  xml.element("VersionIdMarker", id_marker).element("MaxKeys", uint64_t{asked});
  if (!query.delimiter.empty()) xml.element("Delimiter", form(query.delimiter));
  form.say(xml);
  xml.element("IsTruncated", listing.truncated);
  if (listing.truncated) {
    xml.element("NextKeyMarker", form(listing.last_key));
    if (!listing.last_version_id.empty()) xml.element("NextVersionIdMarker", listing.last_version_id);
  }
  for (const VersionListEntry& entry : listing.entries) {
    const ObjectVersion& version = entry.version;
    xml.open(version.delete_marker ? "DeleteMarker" : "Version");
    xml.element("Key", form(entry.key)).element("VersionId", version.version_id()).element("IsLatest", entry.latest);
    xml.element("LastModified", base::format_rfc3339(version.modified_at));
    if (!version.delete_marker) {
      xml.element("ETag", "\"" + version.etag + "\"");
      write_checksum_algorithm(xml, version);
      xml.element("Size", version.size_bytes).element("StorageClass", storage_class_of(version));
    }
    const std::string& id = version.owner.canonical_id;
    write_owner(xml, id, co_await display_name(id));
    xml.close();
  }
  for (const std::string& prefix : listing.common_prefixes)
    xml.open("CommonPrefixes").element("Prefix", form(prefix)).close();
  co_return co_await send_xml(call, 200, xml.finish());
}

}  // namespace polis::object
