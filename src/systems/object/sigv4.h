// AWS Signature Version 4 as S3 uses it, both sides: finding and checking the credentials of a request, and signing
// one. Version 2 too, behind a switch. Sans-IO: text in, verdict out; the caller looks the secret up in between.
//
//   find_credentials(request) ──► access key id ──► (directory) ──► verify(request, credentials, secret, now) ──►
//   Verified
//
// After the "Signature Version 4" chapters of the Amazon S3 API Reference ("Authenticating Requests"). Pure except for
// SigningKeyCache, which belongs to one shard.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/clock.h"
#include "kernel/base/digest.h"

namespace polis::object {

// Why a request is refused, in S3's terms.
struct AuthFailure {
  std::string_view code;  // "SignatureDoesNotMatch"; static text
  int status = 403;
  std::string message;
  // For SignatureDoesNotMatch: what the server signed, so that the author of a client can compare. For a wrong region:
  // the right one.
  std::string string_to_sign, canonical_request, region;
};
template <class T>
using AuthResult = std::expected<T, AuthFailure>;

// --- a request as it came

struct HeaderView {
  std::string_view name;  // any case
  std::string_view value;
};

// Views must outlive the call they are passed to.
struct RequestView {
  std::string_view method;
  std::string_view target;  // the raw request target: "/bucket/a%20key?acl"
  std::span<const HeaderView> headers;
};

enum class AuthScheme : unsigned char { kAnonymous, kV4Header, kV4Query, kV2Header, kV2Query };

enum class PayloadMode : unsigned char {
  kHash,                     // the body's SHA-256 is signed
  kUnsigned,                 // UNSIGNED-PAYLOAD
  kStreamingSigned,          // STREAMING-AWS4-HMAC-SHA256-PAYLOAD
  kStreamingSignedTrailer,   // STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
  kStreamingUnsignedTrailer  // STREAMING-UNSIGNED-PAYLOAD-TRAILER
};
constexpr bool is_streaming(PayloadMode mode) {
  return mode >= PayloadMode::kStreamingSigned;
}

// date/region/service/aws4_request
struct CredentialScope {
  std::string date;  // yyyymmdd
  std::string region;
  std::string service;
  std::string text() const;
};

// What a request presents, syntactically sound but not yet believed.
struct Credentials {
  AuthScheme scheme = AuthScheme::kAnonymous;
  std::string access_key;
  std::string signature;
  std::string security_token;  // X-Amz-Security-Token; empty: none
  // Version 4 only.
  CredentialScope scope;
  std::vector<std::string> signed_headers;  // lower case, in the order given
  std::string amz_date;                     // yyyymmddThhmmssZ
  WallTime signed_at{};
  int64_t expires_seconds = 0;  // kV4Query: 1..604800. kV2Query: seconds since 1970
  PayloadMode payload = PayloadMode::kUnsigned;
  // The last line of the canonical request, as the client spelt it. Services other than S3 sign the body's hash without
  // naming it in a header: then this is empty, and the caller puts hex(SHA-256(body)) here before verify().
  std::string payload_hash;
};

struct SigningOptions {
  std::string region;                // empty: any region of a scope is accepted
  std::string service = "s3";        // "sts" and "iam" for the query API
  std::vector<std::string> domains;  // of virtual-host style; Version 2 signs the bucket of the host
  bool version2 = false;             // accept Signature Version 2
  Duration skew_max = std::chrono::minutes(15);
};

inline constexpr int64_t kPresignSecondsMax = 604'800;  // 7 days
inline constexpr size_t kSignedHeadersMax = 128;
inline constexpr size_t kQueryParametersMax = 256;

// Finds the credentials of a request; scheme kAnonymous if there are none. Fails on two kinds at once, on malformed and
// on unsupported ones.
AuthResult<Credentials> find_credentials(const RequestView& request, const SigningOptions& options);

// --- checking

using SigningKey = base::Sha256Digest;

// HMAC chain over date, region, service and "aws4_request".
SigningKey derive_signing_key(std::string_view secret, const CredentialScope& scope);

// Derived keys, each good for one day, of one shard. Fixed size: two entries of one slot displace each other.
class SigningKeyCache {
 public:
  const SigningKey& get(std::string_view access_key, std::string_view secret, const CredentialScope& scope);
  ~SigningKeyCache();

 private:
  struct Entry {
    std::string access_key, secret, scope;
    SigningKey key{};
  };
  static constexpr size_t kEntries = 256;
  std::array<Entry, kEntries> entries_;
};

// What the body must be held against.
struct Verified {
  PayloadMode payload = PayloadMode::kUnsigned;
  std::string payload_hash;  // kHash: 64 lower-case hex digits
  // For signed streams: where the chain of chunk signatures begins.
  SigningKey signing_key{};
  std::string seed_signature;
  std::string amz_date;
  std::string scope;
};

// Checks time, signature and that host and every x-amz-* header are signed. The comparison takes the same time wherever
// signatures differ. A Verified says nothing about the body yet.
AuthResult<Verified> verify(const RequestView& request, const Credentials& credentials, std::string_view secret,
                            WallTime now, const SigningOptions& options, SigningKeyCache& cache);

// The payload mode of a request without credentials: anonymous clients send the same header and framing.
AuthResult<Verified> anonymous_payload(const RequestView& request);

// XAmzContentSHA256Mismatch unless `body` is the digest that the request promised; only for kHash.
AuthResult<void> check_payload(const Verified& verified, const base::Sha256Digest& body);

// Failures that the caller finds between the two steps.
AuthFailure invalid_access_key(std::string_view access_key);
AuthFailure invalid_token();

// --- POST policy forms

// The fields of a form upload that sign its policy: x-amz-algorithm, x-amz-credential, x-amz-date, x-amz-signature,
// x-amz-security-token; or AWSAccessKeyId and signature for Version 2.
struct PostFields {
  std::string_view policy;  // base64, as sent
  std::string_view algorithm, credential, date, signature, security_token;
  std::string_view v2_access_key, v2_signature;
};
AuthResult<Credentials> find_post_credentials(const PostFields& fields, const SigningOptions& options);
// The expiration lies in the policy and is the caller's to check.
AuthResult<void> verify_post(const PostFields& fields, const Credentials& credentials, std::string_view secret,
                             SigningKeyCache& cache);

// --- canonical forms, for tests and for error messages

std::string canonical_request(const RequestView& request, std::span<const std::string> signed_headers,
                              std::string_view payload_hash);
std::string string_to_sign(std::string_view amz_date, const CredentialScope& scope, std::string_view canonical);
std::string string_to_sign_v2(const RequestView& request, std::string_view date, std::span<const std::string> domains);

// --- signing

struct SigningIdentity {
  std::string access_key, secret_key;
  std::string session_token;  // empty: none
  std::string region = "us-east-1";
  std::string service = "s3";
};

// "UNSIGNED-PAYLOAD" or the hex SHA-256 of the body, or a STREAMING- name.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
// yyyymmddThhmmssZ
std::string amz_date_text(WallTime time);

struct OwnedHeader {
  std::string name, value;
};
// The headers to add to a request: x-amz-date, x-amz-content-sha256, x-amz-security-token if any, authorization. The
// request has host and every other x-amz-* header already; all of them, content-type and content-md5 get signed.
std::vector<OwnedHeader> sign(const RequestView& request, const SigningIdentity& identity,
                              std::string_view payload_hash, WallTime now);
// The target with the query of a pre-signed request; `request` has at least a host header, and whoever uses the URL
// sends the same headers.
std::string presign(const RequestView& request, const SigningIdentity& identity, int64_t expires_seconds, WallTime now);

}  // namespace polis::object
