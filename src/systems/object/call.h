// One request of the S3 protocol, taken apart: which bucket and key, which query, what its headers mean. Lives as long
// as the request, on its shard.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/auth/principal.h"
#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "systems/object/checksum.h"
#include "systems/object/conditions.h"
#include "systems/object/sigv4.h"
#include "systems/object/types.h"

namespace polis::object {

// The decoded parameters of a query, in order.
class Query {
 public:
  // kInvalidUri for broken percent-encoding or more than kQueryParametersMax of them.
  static Answer<Query> parse(std::string_view raw);

  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Empty if absent.
  std::string_view get(std::string_view name) const;
  std::optional<std::string_view> find_value(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return parameters_; }

 private:
  const std::string* find(std::string_view name) const;
  std::vector<std::pair<std::string, std::string>> parameters_;
};

struct Call {
  http::Request& request;
  http::Response& response;
  WallTime now{};
  std::string request_id;

  std::string bucket;      // empty: the service itself
  std::string key;         // empty: the bucket itself
  BucketId bucket_id = 0;  // of the bucket that rights were checked on, once it is loaded
  bool virtual_host = false;
  bool tenanted = false;  // the path named a tenant in front of the bucket, as Ceph's clients do: "tenant:bucket"
  Query query;

  bool proved = false;  // somebody else has proved the principal: no signature is looked for
  auth::PrincipalPtr principal = auth::anonymous_principal();
  AuthScheme scheme = AuthScheme::kAnonymous;
  Duration authenticating{};  // how long it took to find out who asks
  Verified verified;

  // For the tail of the access log: static names, empty until they are known.
  std::string_view operation, error_name;

  // A header; of those named x-amz-* also what hoisted() finds. Whoever asks for one asks here, so that a policy's
  // condition and the handler read the same.
  std::optional<std::string_view> field(std::string_view name) const;
  // "" if absent.
  std::string_view header(std::string_view name) const { return field(name).value_or(""); }
  bool has_header(std::string_view name) const { return field(name).has_value(); }
  // SDKs that sign a URL move their x-amz-* headers into its query, where the signature covers them; the admin API takes
  // them from there, too, because its client sends no headers of its own. Not for queries that nobody signed.
  bool hoisted(std::string_view name) const;
  std::string_view copy_source() const { return header("x-amz-copy-source"); }
  Owner caller() const { return {principal->account_id, principal->canonical_id}; }
};

// Fills bucket, key and query from the target and the Host. `domains`: of virtual-host style, lower case, without port.
Answer<void> take_apart(Call& call, const std::vector<std::string>& domains);

// --- what headers say

// Content-Type and its like, x-amz-meta-*, x-amz-storage-class.
Answer<Metadata> metadata_of(const Call& call);
Answer<Tags> tags_of(const Call& call);
// `prefix`: "" or "x-amz-copy-source-". Times that are no dates do not count.
Conditions conditions_of(const Call& call, std::string_view prefix = {});
// x-amz-if-match-*, of DELETE.
Answer<Conditions> delete_conditions_of(const Call& call);
// The version id of the query; kInvalidArgument for a malformed one.
Answer<std::optional<VersionId>> version_of(const Call& call);
// A number in a query or header; kInvalidArgument with `name` unless it is a decimal within the bounds.
Answer<uint64_t> number_of(std::string_view name, std::string_view text, uint64_t min, uint64_t max);
// 32 hex digits; kNoSuchUpload for anything else, since no such upload can exist.
Answer<UploadId> upload_id_of(std::string_view text);

// x-amz-checksum-* that the client computed, or only named: in headers, as the trailer it announces, or
// x-amz-sdk-checksum-algorithm.
struct ChecksumRequest {
  ChecksumAlgorithm algorithm = ChecksumAlgorithm::kNone;
  std::optional<Checksum> expected;  // from a header; a trailer comes later
  bool trailer = false;
};
Answer<ChecksumRequest> checksum_of(const Call& call);

struct CopySource {
  std::string bucket, key;
  std::optional<VersionId> version;
  std::string text;  // bucket/key, decoded, for policies
};
Answer<CopySource> copy_source_of(std::string_view header);

// --- ranges

// The one range of a Range header, cut to the object. Nothing for no header, several ranges or another unit: then all
// is sent. kInvalidRange when it lies outside.
Answer<std::optional<blob::Range>> range_of(std::string_view header, uint64_t size_bytes);
// x-amz-copy-source-range: exactly "bytes=first-last", inside the object.
Answer<blob::Range> copy_range_of(std::string_view header, uint64_t size_bytes);

}  // namespace polis::object
