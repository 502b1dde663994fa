// Making, finding and removing buckets; their location and versioning.
#include <algorithm>

#include "kernel/http/date.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

std::optional<Ownership> ownership_named(std::string_view text) {
  for (Ownership one : {Ownership::kBucketOwnerEnforced, Ownership::kBucketOwnerPreferred, Ownership::kObjectWriter})
    if (name(one) == text) return one;
  return std::nullopt;
}

// At most 64 of a-z, A-Z, 0-9, '-' and ':' (Ceph's "zone:placement").
bool region_sound(std::string_view region) {
  return region.size() <= 64 && std::all_of(region.begin(), region.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == ':';
         });
}

}  // namespace

Service::Done Service::create_bucket(Call& call) {
  if (call.principal->anonymous()) co_return refuse(ErrorCode::kAccessDenied);
  if (call.tenanted) co_return refuse(ErrorCode::kInvalidBucketName);
  CO_ASK(check_bucket_name(call.bucket));
  CO_ASK(refuse_unsupported_headers(call));
  Bucket bucket;
  bucket.name = call.bucket;
  bucket.owner = call.caller();
  std::string document = CO_ASK(co_await read_text(call, 64 * 1024));
  if (!document.empty()) {
    XmlElement xml = CO_ASK(parse_xml(document));
    if (xml.name != "CreateBucketConfiguration") co_return refuse(ErrorCode::kMalformedXml);
    bucket.region = xml.text_of("LocationConstraint");
    if (bucket.region == "us-east-1") bucket.region.clear();
    if (!region_sound(bucket.region)) co_return refuse(ErrorCode::kInvalidLocationConstraint);
    if (const XmlElement* tags = xml.child("Tags")) {
      for (const XmlElement& tag : tags->children) bucket.tags.emplace_back(tag.text_of("Key"), tag.text_of("Value"));
      CO_ASK(check_tags(bucket.tags, kBucketTagsMax));
    }
  }
  if (call.has_header("x-amz-object-ownership")) {
    auto ownership = ownership_named(call.header("x-amz-object-ownership"));
    if (!ownership) co_return refuse(ErrorCode::kInvalidArgument, "Invalid x-amz-object-ownership header");
    bucket.ownership = *ownership;
  }
  if (http::equal_ignoring_case(call.header("x-amz-bucket-object-lock-enabled"), "true")) {
    bucket.object_lock = true;
    bucket.versioning = Versioning::kEnabled;
  }
  auto acl = CO_ASK(co_await acl_of_headers(call, bucket.owner, bucket.owner));
  const bool gives_acl = acl && call.header("x-amz-acl") != "private";
  bucket.acl = acl ? std::move(*acl) : *canned_acl("private", bucket.owner, bucket.owner);
  if (bucket.ownership == Ownership::kBucketOwnerEnforced && bucket.acl.grants.size() > 1)
    co_return refuse(ErrorCode::kInvalidBucketAclWithObjectOwnership);

  auth::Context context = context_of(call, "", nullptr, {});
  std::string arn = bucket_arn(bucket.name);
  Asked asked{.principal = call.principal.get(),
              .action = "s3:CreateBucket",
              .resource = arn,
              .bucket = &bucket,
              .context = &context};
  Bucket without_acl = bucket;  // the new bucket's own ACL gives no right to make it
  without_acl.acl = {};
  asked.bucket = &without_acl;
  if (!allowed(asked)) co_return refuse(ErrorCode::kAccessDenied);
  asked.action = "s3:PutBucketAcl";  // as Amazon's: what is private anyway takes no right of its own
  if (gives_acl && !allowed(asked)) co_return refuse(ErrorCode::kAccessDenied);
  if (bucket.object_lock) {
    for (std::string_view action : {"s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"}) {
      asked.action = action;
      if (!allowed(asked)) co_return refuse(ErrorCode::kAccessDenied);
    }
  }

  auto made = co_await change([&](Write& write) { return engine_.create_bucket(write, bucket); });
  if (!made) {
    if (made.error().code() != ErrorCode::kBucketAlreadyOwnedByYou) co_return refuse(std::move(made).error());
    // As Amazon's us-east-1: making one's own bucket again succeeds, unless it would have come out different.
    Bucket existing = CO_ASK(co_await load_bucket(call));
    if (existing.region != bucket.region || existing.object_lock != bucket.object_lock)
      co_return refuse(ErrorCode::kBucketAlreadyOwnedByYou);
    if (existing.acl != bucket.acl) co_return refuse(ErrorCode::kBucketAlreadyExists);
  }
  call.response.set("Location", "/" + call.bucket);
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_bucket(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:DeleteBucket", &bucket));
  auto gone = co_await change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await bucket_for_change(write, call));
    CO_ASK(co_await engine_.delete_bucket(write, call.bucket));
    co_return true;
  });
  if (!gone) co_return refuse(std::move(gone).error());
  co_return co_await send_empty(call, 204);
}

Service::Done Service::head_bucket(Call& call) {
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, "", "s3:ListBucket"));
  call.response.set("x-amz-bucket-region", bucket.region.empty() ? options_.region : bucket.region);
  call.response.set("x-amz-access-point-alias", "false");
  // Some of Ceph's headers; summing costs a scan of 256 small rows, so only who asks for them pays.
  if (call.query.has("read-stats")) {
    Usage usage = CO_ASK(co_await engine_.usage(*txn, bucket.id));
    call.response.set("x-rgw-object-count", std::to_string(usage.objects));
    call.response.set("x-rgw-bytes-used", std::to_string(usage.size_bytes));
    for (std::string_view quota : {"x-rgw-quota-user-size", "x-rgw-quota-user-objects", "x-rgw-quota-bucket-size",
                                   "x-rgw-quota-bucket-objects"})
      call.response.set(quota, "-1");
    call.response.set("x-rgw-quota-max-buckets", std::to_string(kBucketsPerOwnerMax));
  }
  txn.reset();
  co_return co_await send_empty(call, 200);
}

Service::Done Service::get_location(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketLocation", &bucket));
  // The one answer whose root element is the value; empty means us-east-1. A region has no character that needs
  // escaping.
  std::string document =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" +
      bucket.region + "</LocationConstraint>";
  co_return co_await send_xml(call, 200, std::move(document));
}

Service::Done Service::get_versioning(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketVersioning", &bucket));
  XmlWriter xml("VersioningConfiguration");
  if (bucket.versioning != Versioning::kUnversioned)
    xml.element("Status", bucket.versioning == Versioning::kEnabled ? "Enabled" : "Suspended");
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_versioning(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketVersioning", &bucket));
  XmlElement xml = CO_ASK(co_await read_xml(call, 64 * 1024));
  std::string_view status = xml.text_of("Status");
  if (xml.name != "VersioningConfiguration" || (status != "Enabled" && status != "Suspended"))
    co_return refuse(ErrorCode::kMalformedXml, "A versioning configuration has a Status of Enabled or Suspended");
  if (xml.text_of("MfaDelete") == "Enabled")
    co_return refuse(ErrorCode::kNotImplemented, "MFA delete is not offered here");
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      if (one.object_lock && status != "Enabled")
        return refuse(ErrorCode::kInvalidBucketState,
                      "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.");
      one.versioning = status == "Enabled" ? Versioning::kEnabled : Versioning::kSuspended;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

}  // namespace polis::object
