// RenameObject over HTTP: PUT /bucket/new?renameObject with x-amz-rename-source: /bucket/old. With
// `renameObject=prefix` the two are prefixes, and every object below the one goes below the other, all of them or none.
#include "kernel/base/text_encoding.h"
#include "kernel/http/date.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

// What one transaction holds with room to spare: 64 MiB of rows, at most some 5 KiB of them a key.
constexpr size_t kRenameKeysMax = 10'000;
constexpr size_t kClientTokenBytesMax = 64;

// "/bucket/key", "bucket/key", or the key alone; percent-encoded.
Answer<std::string> rename_source_of(const Call& call) {
  const std::string_view header = call.header("x-amz-rename-source");
  if (header.empty()) return refuse(ErrorCode::kInvalidArgument, "The header x-amz-rename-source is missing");
  auto decoded = base::url_decode(header);
  if (!decoded) return refuse(ErrorCode::kInvalidArgument, "x-amz-rename-source is not URL-encoded");
  std::string_view text = *decoded;
  const bool absolute = text.starts_with('/');
  if (absolute) text.remove_prefix(1);
  if (text.starts_with(call.bucket + "/")) {
    text.remove_prefix(call.bucket.size() + 1);
  } else if (absolute) {
    return refuse(ErrorCode::kInvalidRequest, "A rename stays within one bucket");
  }
  ASK(check_key(text));
  return std::string(text);
}

Conditions rename_source_conditions(const Call& call) {
  Conditions conditions;
  auto text = [&](std::string_view name) -> std::optional<std::string> {
    if (!call.has_header(name)) return std::nullopt;
    return std::string(call.header(name));
  };
  conditions.if_match = text("x-amz-rename-source-if-match");
  conditions.if_none_match = text("x-amz-rename-source-if-none-match");
  if (auto date = text("x-amz-rename-source-if-modified-since")) conditions.modified_since = http::parse_date(*date);
  if (auto date = text("x-amz-rename-source-if-unmodified-since"))
    conditions.unmodified_since = http::parse_date(*date);
  return conditions;
}

}  // namespace

// A rename is a read, a write and a delete: it takes the rights to all three. Without a version, those that do not
// depend on one.
Answer<void> Service::require_rename(const Call& call, const Bucket& bucket, std::string_view from, std::string_view to,
                                     const ObjectVersion* version) {
  ASK(require(call, bucket, from, "s3:DeleteObject"));
  if (version) ASK(require(call, bucket, from, "s3:GetObject", version));
  const std::string source = bucket.name + "/" + std::string(from);
  ASK(require(call, bucket, to, "s3:PutObject", nullptr,
              {.request_tags = version ? &version->tags : nullptr, .copy_source = source}));
  if (version && !version->tags.empty())
    ASK(require(call, bucket, to, "s3:PutObjectTagging", nullptr, {.request_tags = &version->tags}));
  return {};
}

Task<Answer<std::optional<Renamed>>> Service::done_before(Write& write, BucketId bucket, const std::string& token,
                                                          const Renamed& asked) {
  if (token.empty()) co_return std::optional<Renamed>();
  co_return co_await engine_.renamed_before(write, bucket, token, asked);
}

Service::Done Service::rename_object(Call& call) {
  const std::string_view what = call.query.get("renameObject");
  if (!what.empty() && what != "prefix")
    co_return refuse(ErrorCode::kInvalidArgument, "renameObject has no value, or the value \"prefix\"");
  const std::string from = CO_ASK(rename_source_of(call));
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  // Who may do none of it does not learn which keys exist.
  CO_ASK(require_rename(call, bucket, from, call.key, nullptr));
  const std::string token(call.header("x-amz-client-token"));
  if (token.size() > kClientTokenBytesMax)
    co_return refuse(ErrorCode::kInvalidArgument, "x-amz-client-token has at most 64 characters");
  const Renamed asked{.from = from, .to = call.key, .prefix = what == "prefix"};
  const Owner owner = call.principal->anonymous() ? bucket.owner : call.caller();

  if (what == "prefix") {
    const RenamePrefix rename{.from = from, .to = call.key, .keys_max = kRenameKeysMax};
    const uint64_t renamed = CO_ASK(co_await change([&](Write& write) -> Task<Answer<uint64_t>> {
      bucket = CO_ASK(co_await bucket_for_change(write, call));
      if (auto before = CO_ASK(co_await done_before(write, bucket.id, token, asked))) co_return before->keys;
      Renamed renamed = asked;
      renamed.keys = CO_ASK(co_await engine_.rename_prefix(
          write, bucket, rename, owner, [&](std::string_view one, std::string_view to, const ObjectVersion& version) {
            return require_rename(call, bucket, one, to, &version);
          }));
      if (!token.empty()) CO_ASK(engine_.remember_rename(write, bucket.id, token, renamed));
      co_return renamed.keys;
    }));
    call.response.set("x-amz-renamed-objects", std::to_string(renamed));
    co_return co_await send_empty(call, 200);
  }

  RenameObject rename{
      .from = from, .to = call.key, .from_conditions = rename_source_conditions(call), .to_conditions = {}};
  rename.to_conditions = conditions_of(call);
  const PutOutcome outcome = CO_ASK(co_await change([&](Write& write) -> Task<Answer<PutOutcome>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    if (CO_ASK(co_await done_before(write, bucket.id, token, asked)))
      co_return PutOutcome{CO_ASK(co_await engine_.version(write.txn, bucket.id, rename.to, std::nullopt))};
    const ObjectVersion version =
        CO_ASK(co_await find_for_read(call, write.txn, bucket, rename.from, std::nullopt, "s3:GetObject"));
    CO_ASK(require_rename(call, bucket, rename.from, rename.to, &version));
    PutOutcome done = CO_ASK(co_await engine_.rename(write, bucket, rename, owner));
    if (!token.empty()) CO_ASK(engine_.remember_rename(write, bucket.id, token, asked));
    co_return done;
  }));
  if (bucket.versioning == Versioning::kEnabled) call.response.set("x-amz-version-id", outcome.version.version_id());
  set_expiration_header(call, bucket, call.key, outcome.version);
  co_return co_await send_empty(call, 200);
}

}  // namespace polis::object
