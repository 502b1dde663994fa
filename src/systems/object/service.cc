// The way of a request through the Service: taken apart, authenticated, routed, answered. Handlers are in their own
// files.
#include "systems/object/service.h"

#include <algorithm>

#include "kernel/base/text_encoding.h"

namespace polis::object {

// One operation of the API: which requests it answers.
struct Operation {
  enum class Scope : unsigned char { kService, kBucket, kObject };
  Scope scope;
  http::Method method;
  std::string_view subresource;  // a query parameter that must be there; empty: any request that no other row takes
  std::string_view name;
  Task<Answer<void>> (Service::*run)(Call&);

  static const Operation* find(const Call& call);
};

namespace {

using Scope = Operation::Scope;
using http::Method;

// Parameters that name an operation which is not offered here. Without this list a PUT with one of them would write an
// object.
constexpr std::string_view kUnoffered[] = {
    "accelerate",
    "analytics",
    "inventory",
    "metrics",
    "intelligent-tiering",
    "metadataTable",
    "metadataConfiguration",
    "session",
    "object-lock",
    "notification",
    "website",
    "logging",
    "replication",
    "retention",
    "legal-hold",
    "restore",
    "select",
    "torrent",
    "abac",
    "append",
};

}  // namespace

const Operation* Operation::find(const Call& call) {
  static constexpr Operation kOperations[] = {
      {Scope::kService, Method::kGet, "", "ListBuckets", &Service::list_buckets},

      {Scope::kBucket, Method::kGet, "location", "GetBucketLocation", &Service::get_location},
      {Scope::kBucket, Method::kGet, "versioning", "GetBucketVersioning", &Service::get_versioning},
      {Scope::kBucket, Method::kGet, "acl", "GetBucketAcl", &Service::get_acl},
      {Scope::kBucket, Method::kGet, "tagging", "GetBucketTagging", &Service::get_tagging},
      {Scope::kBucket, Method::kGet, "policy", "GetBucketPolicy", &Service::get_policy},
      {Scope::kBucket, Method::kGet, "policyStatus", "GetBucketPolicyStatus", &Service::get_policy_status},
      {Scope::kBucket, Method::kGet, "cors", "GetBucketCors", &Service::get_cors},
      {Scope::kBucket, Method::kGet, "publicAccessBlock", "GetPublicAccessBlock", &Service::get_public_access_block},
      {Scope::kBucket, Method::kGet, "ownershipControls", "GetBucketOwnershipControls", &Service::get_ownership},
      {Scope::kBucket, Method::kGet, "requestPayment", "GetBucketRequestPayment", &Service::get_request_payment},
      {Scope::kBucket, Method::kGet, "lifecycle", "GetBucketLifecycle", &Service::get_lifecycle},
      {Scope::kBucket, Method::kGet, "encryption", "GetBucketEncryption", &Service::get_bucket_encryption},
      {Scope::kBucket, Method::kGet, "object-lock", "GetObjectLockConfiguration", &Service::get_object_lock},
      {Scope::kBucket, Method::kGet, "notification", "GetBucketNotification", &Service::absent_setting},
      {Scope::kBucket, Method::kGet, "website", "GetBucketWebsite", &Service::absent_setting},
      {Scope::kBucket, Method::kGet, "logging", "GetBucketLogging", &Service::absent_setting},
      {Scope::kBucket, Method::kGet, "replication", "GetBucketReplication", &Service::absent_setting},
      {Scope::kBucket, Method::kGet, "accelerate", "GetBucketAccelerateConfiguration", &Service::absent_setting},
      {Scope::kBucket, Method::kGet, "uploads", "ListMultipartUploads", &Service::list_uploads},
      {Scope::kBucket, Method::kGet, "versions", "ListObjectVersions", &Service::list_versions},
      {Scope::kBucket, Method::kGet, "list-type", "ListObjectsV2", &Service::list_objects_v2},
      {Scope::kBucket, Method::kGet, "", "ListObjects", &Service::list_objects_v1},
      {Scope::kBucket, Method::kHead, "", "HeadBucket", &Service::head_bucket},
      {Scope::kBucket, Method::kPut, "versioning", "PutBucketVersioning", &Service::put_versioning},
      {Scope::kBucket, Method::kPut, "acl", "PutBucketAcl", &Service::put_acl},
      {Scope::kBucket, Method::kPut, "tagging", "PutBucketTagging", &Service::put_tagging},
      {Scope::kBucket, Method::kPut, "policy", "PutBucketPolicy", &Service::put_policy},
      {Scope::kBucket, Method::kPut, "cors", "PutBucketCors", &Service::put_cors},
      {Scope::kBucket, Method::kPut, "lifecycle", "PutBucketLifecycle", &Service::put_lifecycle},
      {Scope::kBucket, Method::kPut, "publicAccessBlock", "PutPublicAccessBlock", &Service::put_public_access_block},
      {Scope::kBucket, Method::kPut, "ownershipControls", "PutBucketOwnershipControls", &Service::put_ownership},
      {Scope::kBucket, Method::kPut, "encryption", "PutBucketEncryption", &Service::put_bucket_encryption},
      {Scope::kBucket, Method::kPut, "requestPayment", "PutBucketRequestPayment", &Service::put_request_payment},
      {Scope::kBucket, Method::kPut, "object-lock", "PutObjectLockConfiguration", &Service::put_object_lock},
      {Scope::kBucket, Method::kPut, "", "CreateBucket", &Service::create_bucket},
      {Scope::kBucket, Method::kDelete, "tagging", "DeleteBucketTagging", &Service::delete_tagging},
      {Scope::kBucket, Method::kDelete, "policy", "DeleteBucketPolicy", &Service::delete_policy},
      {Scope::kBucket, Method::kDelete, "cors", "DeleteBucketCors", &Service::delete_cors},
      {Scope::kBucket, Method::kDelete, "publicAccessBlock", "DeletePublicAccessBlock",
       &Service::delete_public_access_block},
      {Scope::kBucket, Method::kDelete, "ownershipControls", "DeleteBucketOwnershipControls",
       &Service::delete_ownership},
      {Scope::kBucket, Method::kDelete, "lifecycle", "DeleteBucketLifecycle", &Service::delete_lifecycle},
      {Scope::kBucket, Method::kDelete, "encryption", "DeleteBucketEncryption", &Service::delete_bucket_encryption},
      {Scope::kBucket, Method::kDelete, "website", "DeleteBucketWebsite", &Service::delete_absent_setting},
      {Scope::kBucket, Method::kDelete, "replication", "DeleteBucketReplication", &Service::delete_absent_setting},
      {Scope::kBucket, Method::kDelete, "", "DeleteBucket", &Service::delete_bucket},
      {Scope::kBucket, Method::kPost, "delete", "DeleteObjects", &Service::delete_objects},
      {Scope::kBucket, Method::kPost, "", "PostObject", &Service::post_form},

      {Scope::kObject, Method::kGet, "acl", "GetObjectAcl", &Service::get_acl},
      {Scope::kObject, Method::kGet, "tagging", "GetObjectTagging", &Service::get_tagging},
      {Scope::kObject, Method::kGet, "attributes", "GetObjectAttributes", &Service::get_object_attributes},
      {Scope::kObject, Method::kGet, "uploadId", "ListParts", &Service::list_parts},
      {Scope::kObject, Method::kGet, "retention", "GetObjectRetention", &Service::get_retention},
      {Scope::kObject, Method::kGet, "legal-hold", "GetObjectLegalHold", &Service::get_legal_hold},
      {Scope::kObject, Method::kGet, "torrent", "GetObjectTorrent", &Service::absent_setting},
      {Scope::kObject, Method::kGet, "", "GetObject", &Service::get_object},
      {Scope::kObject, Method::kHead, "", "HeadObject", &Service::get_object},
      {Scope::kObject, Method::kPut, "acl", "PutObjectAcl", &Service::put_acl},
      {Scope::kObject, Method::kPut, "tagging", "PutObjectTagging", &Service::put_tagging},
      {Scope::kObject, Method::kPut, "retention", "PutObjectRetention", &Service::put_retention},
      {Scope::kObject, Method::kPut, "legal-hold", "PutObjectLegalHold", &Service::put_legal_hold},
      {Scope::kObject, Method::kPut, "uploadId", "UploadPart", &Service::upload_part},
      {Scope::kObject, Method::kPut, "renameObject", "RenameObject", &Service::rename_object},
      {Scope::kObject, Method::kPut, "", "PutObject", &Service::put_object},
      {Scope::kObject, Method::kDelete, "tagging", "DeleteObjectTagging", &Service::delete_tagging},
      {Scope::kObject, Method::kDelete, "uploadId", "AbortMultipartUpload", &Service::abort_upload},
      {Scope::kObject, Method::kDelete, "", "DeleteObject", &Service::delete_object},
      {Scope::kObject, Method::kPost, "uploads", "CreateMultipartUpload", &Service::create_upload},
      {Scope::kObject, Method::kPost, "uploadId", "CompleteMultipartUpload", &Service::complete_upload},
  };
  static constexpr Operation kNotImplemented{Scope::kService, Method::kOther, "", "NotImplemented",
                                             &Service::not_implemented};

  Scope scope = call.bucket.empty() ? Scope::kService : call.key.empty() ? Scope::kBucket : Scope::kObject;
  const Operation* any = nullptr;
  for (const Operation& operation : kOperations) {
    if (operation.scope != scope || operation.method != call.request.method()) continue;
    if (operation.subresource.empty()) {
      any = &operation;
    } else if (call.query.has(operation.subresource)) {
      return &operation;
    }
  }
  for (std::string_view name : kUnoffered)
    if (call.query.has(name)) return &kNotImplemented;
  return any ? any : &kNotImplemented;
}

namespace {

std::string make_request_id(Random& random) {
  uint64_t value = random.next();
  std::string id(16, '0');
  for (size_t i = 0; i < 16; ++i) id[i] = "0123456789ABCDEF"[(value >> (4 * i)) & 15];
  return id;
}

}  // namespace

Service::Service(unsigned index, unsigned shards, Home& home, store::Store& store, store::Keyspace keyspace,
                 blob::Blob& blob, auth::Directory& directory, const Clock& clock, Random& random,
                 ServiceOptions options)
    : store_(store),
      blob_(blob),
      directory_(directory),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      engine_(keyspace, {.day = options_.lifecycle_day}),
      key_ring_(keyspace, options_.encryption_key),
      slots_(index, shards),
      requests_max_(std::max<size_t>(1, options_.requests_max / shards)),
      home_(home) {
  if (!options_.any_region) signing_.region = options_.region;
  signing_.domains = options_.domains;
  signing_.version2 = options_.version2;
}

Service::~Service() = default;

Task<void> Service::handle(http::Request& request, http::Response& response) {
  Call call{.request = request, .response = response, .now = clock_.wall(), .request_id = make_request_id(random_)};
  co_await answer(call);
}

Task<void> Service::handle_as(auth::PrincipalPtr principal, http::Request& request, http::Response& response) {
  POLIS_ASSERT(!principal->anonymous());
  Call call{.request = request, .response = response, .now = clock_.wall(), .request_id = make_request_id(random_)};
  call.principal = co_await with_account(std::move(principal));
  call.proved = true;
  call.scheme = AuthScheme::kV4Header;  // as good as a signature in the header
  co_await answer(call);
}

// Work that polis does itself, and the command line beside it, has no account of its own: what it makes belongs to the
// main account.
Task<auth::PrincipalPtr> Service::with_account(auth::PrincipalPtr principal) {
  if (principal->credential != auth::CredentialKind::kInternal || !principal->canonical_id.empty()) co_return principal;
  auto account = co_await directory_.main_account();
  if (!account) co_return principal;
  auth::Principal named = *principal;
  named.account_id = account->id;
  named.canonical_id = account->canonical_id;
  co_return std::make_shared<const auth::Principal>(std::move(named));
}

Task<void> Service::answer(Call& call) {
  http::Response& response = call.response;
  response.set("x-amz-request-id", call.request_id);
  response.set("x-amz-id-2", base::base64_encode(base::as_bytes(call.request_id)));
  ++statistics_.requests;
  const SteadyTime begun = clock_.steady();
  if (statistics_.in_flight >= requests_max_) {
    ++statistics_.slowed_down;
    co_await reply_failure(call, Failure(ErrorCode::kSlowDown).header("Retry-After", "1"));
    note_access(call, begun);
    co_return;
  }
  ++statistics_.in_flight;
  auto answer = co_await serve(call);
  --statistics_.in_flight;
  if (!answer) co_await reply_failure(call, answer.error());
  note_access(call, begun);
}

void Service::note_access(const Call& call, SteadyTime begun) {
  const http::Response& response = call.response;
  AccessLine& line = access_tail_.next();
  line.request_id = call.request_id;
  line.user = call.principal->anonymous() ? std::string_view() : std::string_view(call.principal->user_name);
  line.address = call.request.peer().unix_socket ? std::string_view() : std::string_view(call.request.peer().address);
  line.bucket = call.bucket;
  line.key = call.key;
  line.method = http::name(call.request.method());
  line.operation = call.operation;
  line.error = call.error_name;
  line.status = response.status();
  line.received_bytes = call.request.content_length().value_or(0);
  const bool has_body = call.request.method() == http::Method::kGet && response.status() != 304;
  line.sent_bytes = has_body ? response.content_length().value_or(0) : 0;
  line.at = call.now;
  line.took = clock_.steady() - begun;
}

Task<Answer<void>> Service::serve(Call& call) {
  CO_ASK(take_apart(call, options_.domains));
  if (call.request.method() == http::Method::kOptions) co_return co_await preflight(call);
  if (is_query_api(call)) co_return co_await query_api(call);
  if (call.has_header("origin")) co_await add_cors_headers(call);
  // What no MD5 can look like is refused whoever asks, before anybody's signature is looked at.
  if (auto md5 = call.request.field("content-md5")) {
    auto digest = base::base64_decode(*md5);
    if (!digest || digest->size() != 16) co_return refuse(ErrorCode::kInvalidDigest);
  }
  SteadyTime begun = clock_.steady();
  CO_ASK(co_await authenticate(call));
  call.authenticating = clock_.steady() - begun;
  co_return co_await dispatch(call);
}

Task<Answer<void>> Service::authenticate(Call& call) {
  std::vector<HeaderView> headers;
  headers.reserve(call.request.fields().size());
  for (http::FieldLine line : call.request.fields()) headers.push_back({line.name, line.value});
  RequestView view{.method = call.request.method_text(), .target = call.request.target(), .headers = headers};
  if (call.proved) {
    auto payload = anonymous_payload(view);
    if (!payload) co_return refuse(failure_of(payload.error()));
    call.verified = std::move(*payload);
    co_return Answer<void>();
  }
  auto credentials = find_credentials(view, signing_);
  if (!credentials) co_return refuse(failure_of(credentials.error()));
  call.scheme = credentials->scheme;
  if (credentials->scheme == AuthScheme::kAnonymous) {
    auto payload = anonymous_payload(view);
    if (!payload) co_return refuse(failure_of(payload.error()));
    call.verified = std::move(*payload);
    co_return Answer<void>();
  }
  auth::AccessKeyPtr key;
  if (credentials->security_token.empty()) key = directory_.cached_access_key(credentials->access_key);
  if (!key) key = CO_ASK(co_await key_of(*credentials));
  auto verified = verify(view, *credentials, key->secret, call.now, signing_, signing_keys_);
  if (!verified) co_return refuse(failure_of(verified.error()));
  call.verified = std::move(*verified);
  call.principal = key->principal;
  co_return Answer<void>();
}

Task<Answer<auth::AccessKeyPtr>> Service::key_of(const Credentials& credentials) {
  if (!credentials.security_token.empty()) {
    auto temporary = co_await directory_.temporary_key(credentials.access_key, credentials.security_token);
    if (!temporary && temporary.error().code() == Code::kTimeout) co_return refuse(ErrorCode::kExpiredToken);
    if (!temporary && temporary.error().code() == Code::kUnauthenticated)
      co_return refuse(failure_of(invalid_token()));
    co_return CO_ASK(std::move(temporary));
  }
  auto found = co_await directory_.access_key(credentials.access_key);
  if (!found && found.error().code() == Code::kNotFound)
    co_return refuse(failure_of(invalid_access_key(credentials.access_key)));
  co_return CO_ASK(std::move(found));
}

Task<Answer<void>> Service::dispatch(Call& call) {
  const Operation* operation = Operation::find(call);
  call.operation = operation->name;
  ++statistics_.operations[operation->name];
  co_return co_await (this->*operation->run)(call);
}

Task<Answer<void>> Service::not_implemented(Call& call) {
  co_return refuse(ErrorCode::kNotImplemented,
                   "A header or parameter you provided implies functionality that is not offered here: " +
                       std::string(call.request.method_text()) + " " +
                       std::string(call.request.target().substr(0, 200)));
}

Task<void> Service::reply_failure(Call& call, const Failure& failure) {
  const ErrorShape& what = shape(failure.code());
  ++(what.status >= 500 ? statistics_.errors_server : statistics_.errors_client);
  call.error_name = what.name;
  // Once the head is out, only an early end of the connection can tell the client.
  if (call.response.started()) {
    call.response.close();
    co_return;
  }
  call.response.status(static_cast<int>(what.status));
  for (const auto& [name, value] : failure.headers()) call.response.set(name, value);
  if (what.status == 304) {
    (void)co_await call.response.send();
    co_return;
  }
  XmlWriter xml("Error", XmlWriter::Plain{});
  xml.element("Code", what.name).element("Message", failure.message());
  for (const auto& [name, value] : failure.details()) xml.element(name, value);
  std::string_view path = call.request.path();
  xml.element("Resource", path).element("RequestId", call.request_id).element("HostId", "polis");
  std::string document = xml.finish();
  // The client may be gone; there is nobody else to tell.
  (void)co_await call.response.send("application/xml", document);
}

Task<Answer<void>> Service::send_xml(Call& call, int status, std::string document) {
  call.response.status(status);
  CO_ASK(co_await call.response.send("application/xml", document));
  co_return Answer<void>();
}

Task<Answer<void>> Service::send_empty(Call& call, int status) {
  call.response.status(status);
  CO_ASK(co_await call.response.send());
  co_return Answer<void>();
}

// --- bodies that are documents

Task<Answer<std::string>> Service::read_text(Call& call, size_t size_bytes_max, Body::Checksums checksums) {
  // Document bodies may come without a length when they are empty.
  if (!call.request.has_body() && !is_streaming(call.verified.payload) && !call.has_header("content-length"))
    co_return std::string();
  auto body = Body::of(call, size_bytes_max, ChecksumAlgorithm::kNone, checksums);
  if (!body) {
    if (body.error().code() == ErrorCode::kEntityTooLarge) co_return refuse(ErrorCode::kMaxMessageLengthExceeded);
    co_return refuse(std::move(body).error());
  }
  std::string text;
  for (;;) {
    constexpr size_t kPiece = 64 * 1024;
    size_t before = text.size();
    text.resize(before + kPiece);
    auto count = co_await (*body)->read(as_writable_bytes(text).subspan(before));
    text.resize(before + count.value_or(0));
    if (!count || *count < kPiece) break;
  }
  CO_ASK(co_await (*body)->finish());
  co_return text;
}

Task<Answer<XmlElement>> Service::read_xml(Call& call, size_t size_bytes_max) {
  std::string text = CO_ASK(co_await read_text(call, size_bytes_max));
  if (text.empty()) co_return refuse(ErrorCode::kMalformedXml, "The request needs an XML document in its body");
  co_return CO_ASK(parse_xml(text, {.bytes_max = size_bytes_max}));
}

// --- rights

Task<Answer<std::unique_ptr<store::Txn>>> Service::begin() {
  co_return CO_ASK(co_await store_.begin());
}

Answer<void> Service::check_expected_owner(const Call& call, const Bucket& bucket, std::string_view header) const {
  std::string_view expected = call.header(header);
  if (!expected.empty() && expected != bucket.owner.account_id && expected != bucket.owner.canonical_id)
    return refuse(ErrorCode::kAccessDenied, "The bucket does not belong to the account that the request expects");
  return {};
}

Answer<void> Service::check_payer(const Call& call, const Bucket& bucket) const {
  if (!bucket.requester_pays || call.principal->account_id == bucket.owner.account_id || call.principal->administrator)
    return {};
  if (!call.principal->anonymous() && call.header("x-amz-request-payer") == "requester") {
    call.response.set("x-amz-request-charged", "requester");
    return {};
  }
  return refuse(ErrorCode::kAccessDenied, "The bucket wants the requester to pay: say x-amz-request-payer: requester");
}

Task<Answer<Bucket>> Service::load_bucket(Call& call, store::Txn& txn) {
  Bucket bucket = CO_ASK(co_await engine_.bucket(txn, call.bucket));
  CO_ASK(check_expected_owner(call, bucket, "x-amz-expected-bucket-owner"));
  CO_ASK(check_payer(call, bucket));
  call.bucket_id = bucket.id;
  co_return bucket;
}

Task<Answer<Bucket>> Service::bucket_for_change(Write& write, const Call& call) {
  Bucket now = CO_ASK(co_await engine_.bucket_for_change(write.txn, call.bucket));
  // Deleted and made again by somebody else while the body came: what was allowed there is not allowed here.
  if (now.id != call.bucket_id) co_return refuse(Failure(ErrorCode::kNoSuchBucket).detail("BucketName", call.bucket));
  co_return now;
}

Task<Answer<Bucket>> Service::update_bucket(Write& write, const Call& call,
                                            std::function<Answer<void>(Bucket&)> change) {
  CO_ASK(co_await bucket_for_change(write, call));
  co_return co_await engine_.update_bucket(write, call.bucket, std::move(change));
}

Task<Answer<Bucket>> Service::load_bucket(Call& call) {
  auto txn = CO_ASK(co_await begin());
  co_return co_await load_bucket(call, *txn);
}

Answer<const auth::Policy*> Service::policy_of(const Bucket& bucket) {
  if (bucket.policy.empty()) return nullptr;
  auto found = policies_.find(bucket.policy);
  if (found == policies_.end()) {
    // Each is at most 20 KiB of text; past 256 the memory (some 10 MB) buys nothing.
    if (policies_.size() >= 256) policies_.clear();
    auth::PolicyPtr parsed = ASK(auth::Policy::parse(bucket.policy, auth::PolicyKind::kResource));
    found = policies_.emplace(bucket.policy, std::move(parsed)).first;
  }
  return found->second.get();
}

auth::Context Service::context_of(const Call& call, std::string_view key, const ObjectVersion* version,
                                  const MoreContext& more) const {
  auth::Context context;
  auth::set_global_keys(context, *call.principal, call.request.peer().unix_socket ? "" : call.request.peer().address,
                        call.request.encrypted(), call.now);
  auto from_header = [&](std::string_view name) {
    if (auto value = call.field(name)) context.set("s3:" + std::string(name), std::string(*value));
  };
  for (std::string_view name :
       {"x-amz-acl", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
        "x-amz-grant-full-control", "x-amz-metadata-directive", "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-content-sha256", "x-amz-object-ownership"})
    from_header(name);
  if (!more.copy_source.empty()) context.set("s3:x-amz-copy-source", std::string(more.copy_source));
  for (std::string_view name : {"prefix", "delimiter", "max-keys"})
    if (auto value = call.query.find_value(name)) context.set("s3:" + std::string(name), std::string(*value));
  if (!more.prefix.empty()) context.set("s3:prefix", std::string(more.prefix));
  if (!more.acl.empty()) context.set("s3:x-amz-acl", std::string(more.acl));
  if (more.encryption) {
    auto from_field = [&](std::string_view name, const EncryptionFields::Field& field) {
      if (field) context.set("s3:x-amz-server-side-encryption" + std::string(name), std::string(*field));
    };
    from_field("", more.encryption->method);
    from_field("-aws-kms-key-id", more.encryption->kms_key_id);
    from_field("-customer-algorithm", more.encryption->customer_algorithm);
  }
  set_lock_keys(context, call, more);
  if (auto id = call.query.find_value("versionId")) context.set("s3:VersionId", std::string(*id));
  if (auto agent = call.request.field(http::Field::kUserAgent)) context.set("aws:UserAgent", std::string(*agent));
  if (auto referer = call.request.field(http::Field::kReferer)) context.set("aws:Referer", std::string(*referer));
  switch (call.scheme) {
    case AuthScheme::kAnonymous:
      break;
    case AuthScheme::kV4Header:
    case AuthScheme::kV2Header:
      context.set("s3:authType", "REST-HEADER");
      break;
    case AuthScheme::kV4Query:
    case AuthScheme::kV2Query:
      context.set("s3:authType", "REST-QUERY-STRING");
      break;
  }
  if (call.scheme == AuthScheme::kV4Header || call.scheme == AuthScheme::kV4Query)
    context.set("s3:signatureversion", "AWS4-HMAC-SHA256");
  if (version)
    for (const auto& [name, value] : version->tags) context.set("s3:ExistingObjectTag/" + name, value);
  if (more.request_tags) {
    for (const auto& [name, value] : *more.request_tags) {
      context.set("s3:RequestObjectTag/" + name, value);
      context.add("s3:RequestObjectTagKeys", name);
    }
  }
  (void)key;
  return context;
}

Answer<bool> Service::may(const Call& call, const Bucket& bucket, std::string_view key, std::string_view action,
                          const ObjectVersion* version, const MoreContext& more) {
  const auth::Policy* policy = ASK(policy_of(bucket));
  Asked asked{
      .principal = call.principal.get(), .action = action, .bucket = &bucket, .policy = policy, .version = version};
  std::string resource = key.empty() ? bucket_arn(bucket.name) : object_arn(bucket.name, key);
  asked.resource = resource;
  if (!auth::context_needed(*call.principal, policy)) return allowed(asked);
  auth::Context context = context_of(call, key, version, more);
  asked.context = &context;
  return allowed(asked);
}

Answer<void> Service::require(const Call& call, const Bucket& bucket, std::string_view key, std::string_view action,
                              const ObjectVersion* version, const MoreContext& more) {
  if (ASK(may(call, bucket, key, action, version, more))) return {};
  return refuse(ErrorCode::kAccessDenied);
}

Task<Answer<void>> Service::require_bucket(Call& call, std::string_view action, Bucket* bucket) {
  *bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, *bucket, "", action));
  co_return Answer<void>();
}

Task<Answer<ObjectVersion>> Service::find_for_read(Call& call, store::Txn& txn, const Bucket& bucket,
                                                   std::string_view key, const std::optional<VersionId>& id,
                                                   std::string_view action, const MoreContext& more) {
  auto found = co_await engine_.version(txn, bucket.id, key, id);
  if (found) {
    CO_ASK(require(call, bucket, key, action, &*found, more));
    co_return std::move(*found);
  }
  bool missing = found.error().code() == ErrorCode::kNoSuchKey || found.error().code() == ErrorCode::kNoSuchVersion;
  // Who may not list must not learn by the difference of 403 and 404 which keys exist.
  if (missing && !CO_ASK(may(call, bucket, "", "s3:ListBucket", nullptr, {.prefix = key})))
    co_return refuse(ErrorCode::kAccessDenied);
  co_return refuse(std::move(found).error());
}

Task<std::string> Service::display_name(std::string canonical_id) {
  if (auto found = display_names_.find(canonical_id); found != display_names_.end()) co_return found->second;
  auto account = co_await directory_.find_account(canonical_id);
  if (!account) co_return canonical_id;
  if (display_names_.size() >= 4096) display_names_.clear();
  display_names_[canonical_id] = account->name;
  co_return account->name;
}

// --- after a commit, and behind the scenes

void Service::after_commit(const std::vector<blob::Receipt>& released, bool made_garbage) {
  // Whoever reads such a blob right now still gets its bytes: the Blob keeps what it reads, and what was looked up a
  // moment ago.
  for (const blob::Receipt& receipt : released) blob_.erase(receipt);
  if (made_garbage) home_.announce_garbage();
}

Task<void> Service::run_background() {
  // Slices keep each transaction small (1000 part rows are about 200 KB) and let others in between.
  constexpr size_t kSlice = 1000;
  constexpr size_t kPage = 100;
  constexpr auto kRest = std::chrono::seconds(60);  // then uploads that were pinned are looked at again
  // A reader that has just found the object needs a moment to pin its parts.
  constexpr auto kGrace = std::chrono::seconds(2);
  constexpr auto kAgeing = std::chrono::hours(1);  // between looks for abandoned uploads
  SteadyTime aged = clock_.steady() - kAgeing;
  for (;;) {
    auto woken = co_await io::with_timeout(kRest, home_.garbage().wait());
    if (!woken && woken.error().code() == Code::kCancelled) co_return;
    home_.garbage().reset();
    if (clock_.steady() - aged >= std::min<Duration>(kAgeing, options_.upload_age_max)) {
      aged = clock_.steady();
      // What failed today is looked at again in an hour; the store says itself why it refuses.
      (void)co_await abort_abandoned(clock_.wall() - options_.upload_age_max);
    }
    // To the end of the list: what is pinned at its beginning must not hold back what comes behind.
    UploadId after;
    for (bool more = true; more;) {
      auto txn = co_await begin();
      if (!txn) break;
      auto ids = co_await engine_.garbage(**txn, kPage, after);
      txn->reset();
      if (!ids || ids->empty()) break;
      if (!co_await io::sleep_for(kGrace)) co_return;
      for (const UploadId& id : *ids) {
        for (bool done = false; !done && !home_.pinned(id);) {
          auto reaped = co_await change([&](Write& write) { return engine_.reap(write, id, kSlice); });
          done = !reaped || *reaped;
        }
      }
      more = ids->size() == kPage;
      after = ids->back();
    }
  }
}

Task<Answer<void>> Service::abort_abandoned(WallTime before) {
  std::string after;
  for (bool more_buckets = true; more_buckets;) {
    auto txn = CO_ASK(co_await begin());
    BucketPage page = CO_ASK(co_await engine_.list_buckets(*txn, nullptr, "", after, 100));
    txn.reset();
    more_buckets = page.more;
    for (const Bucket& bucket : page.buckets) {
      after = bucket.name;
      UploadListQuery query;
      for (bool more = true; more;) {
        auto listing_txn = CO_ASK(co_await begin());
        UploadListing listing = CO_ASK(co_await engine_.list_uploads(*listing_txn, bucket.id, query));
        listing_txn.reset();
        for (const Upload& upload : listing.uploads) {
          if (upload.initiated_at >= before) continue;
          auto gate = CO_ASK(co_await home_.own(upload.id));
          auto aborted = co_await change([&](Write& write) -> Task<Answer<bool>> {
            CO_ASK(co_await engine_.abort(write, bucket.id, upload.key, upload.id));
            co_return true;
          });
          // Completed or aborted by its owner in the last moment: just as well.
          if (!aborted && aborted.error().code() != ErrorCode::kNoSuchUpload)
            co_return refuse(std::move(aborted).error());
        }
        more = listing.truncated;
        query.key_after = listing.last_key;
        query.upload_after = listing.last_upload;
      }
      co_await io::yield();
    }
  }
  co_return Answer<void>();
}

// Before anything goes: a bucket that cannot be emptied as a whole stays whole.
Task<Answer<void>> Service::require_nothing_locked(std::string name) {
  VersionListQuery query;
  for (bool more = true; more;) {
    auto txn = CO_ASK(co_await begin());
    Bucket bucket = CO_ASK(co_await engine_.bucket(*txn, name));
    if (!bucket.object_lock) co_return Answer<void>();
    VersionListing listing = CO_ASK(co_await engine_.list_versions(*txn, bucket.id, query));
    txn.reset();
    for (const VersionListEntry& entry : listing.entries) {
      auto free = check_unlocked(entry.version, false, clock_.wall());
      if (!free)
        co_return refuse(ErrorCode::kAccessDenied, "The version " + entry.version.version_id() + " of " + entry.key +
                                                       " is under object lock: nothing was removed");
    }
    more = listing.truncated;
    query.key_after = listing.last_key;
    query.version_after.reset();
    if (!listing.last_version_id.empty()) query.version_after = CO_ASK(VersionId::parse(listing.last_version_id));
    co_await io::yield();
  }
  co_return Answer<void>();
}

Task<Answer<uint64_t>> Service::empty_bucket(std::string name, bool and_remove) {
  CO_ASK(co_await require_nothing_locked(name));
  uint64_t removed = 0;
  for (bool more = true; more;) {
    auto txn = CO_ASK(co_await begin());
    Bucket bucket = CO_ASK(co_await engine_.bucket(*txn, name));
    VersionListing listing = CO_ASK(co_await engine_.list_versions(*txn, bucket.id, {}));
    txn.reset();
    CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine_.bucket_for_change(write.txn, name));
      for (const VersionListEntry& entry : listing.entries) {
        DeleteVersion remove{.key = entry.key};
        remove.version = VersionId{.null_version = entry.version.null_version, .sequence = entry.version.sequence};
        CO_ASK(co_await engine_.remove(write, bucket, remove));
      }
      co_return true;
    }));
    removed += listing.entries.size();
    more = listing.truncated;
  }
  if (and_remove) {
    CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine_.delete_bucket(write, name));
      co_return true;
    }));
  }
  co_return removed;
}

Task<Answer<uint64_t>> Service::remove_listed(std::string bucket_name, std::vector<ListEntry> listed, Owner owner) {
  for (size_t begin_at = 0; begin_at < listed.size(); begin_at += 1000) {
    size_t end = std::min(listed.size(), begin_at + 1000);
    CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
      Bucket bucket = CO_ASK(co_await engine_.bucket_for_change(write.txn, bucket_name));
      for (size_t i = begin_at; i < end; ++i) {
        auto now = co_await engine_.version(write.txn, bucket.id, listed[i].key, std::nullopt);
        if (!now || now->sequence != listed[i].version.sequence)
          co_return refuse(ErrorCode::kOperationAborted,
                           "The object " + listed[i].key + " has changed since the plan was made");
        CO_ASK(co_await engine_.remove(write, bucket, {.key = listed[i].key, .owner = owner}));
      }
      co_return true;
    }));
  }
  co_return listed.size();
}

Task<Result<std::vector<bool>>> Service::References::referenced(std::vector<blob::BlobId> ids) {
  // Changes that the store could not make durable are invisible now and may be there after a restart.
  if (auto why = service_.store_.failure())
    co_return fail(Error(Code::kUnavailable, "back references cannot be looked up", *why));
  auto txn = CO_TRY(co_await service_.store_.begin());
  std::vector<bool> out;
  out.reserve(ids.size());
  for (const blob::BlobId& id : ids) {
    auto known = co_await service_.engine_.referenced(*txn, id);
    if (!known) co_return fail(Code::kIo, "looking up a back reference: " + known.error().message());
    out.push_back(*known);
  }
  co_return out;
}

Task<Result<void>> Service::References::moved(blob::BlobId from, blob::BlobId to) {
  auto answer = co_await service_.change([&](Write& write) { return service_.engine_.moved(write, from, to); });
  if (answer) co_return Result<void>();
  co_return fail(Code::kNotFound, "moving a piece of a blob: " + answer.error().message());
}

}  // namespace polis::object
