#include "systems/object/sigv4.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "kernel/base/ascii.h"
#include "kernel/base/hash.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/sigv4_text.h"

namespace polis::object {
namespace {

using namespace sigv4;
using std::unexpected;

constexpr std::string_view kStreamingSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
constexpr std::string_view kStreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
constexpr std::string_view kStreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
// The longest Authorization header that is looked at: 128 signed headers of ordinary names and a session token's key
// fit many times.
constexpr size_t kAuthorizationBytesMax = 8192;

AuthFailure malformed_header(std::string detail) {
  return failure("AuthorizationHeaderMalformed", 400, "The authorization header is malformed; " + detail);
}
AuthFailure malformed_query(std::string detail) {
  return failure("AuthorizationQueryParametersError", 400, std::move(detail));
}

AuthResult<void> parse_payload(std::string_view declared, Credentials& credentials) {
  if (declared == kUnsignedPayload) {
    credentials.payload = PayloadMode::kUnsigned;
  } else if (declared == kStreamingSigned) {
    credentials.payload = PayloadMode::kStreamingSigned;
  } else if (declared == kStreamingSignedTrailer) {
    credentials.payload = PayloadMode::kStreamingSignedTrailer;
  } else if (declared == kStreamingUnsignedTrailer) {
    credentials.payload = PayloadMode::kStreamingUnsignedTrailer;
  } else if (is_hex64(declared)) {
    credentials.payload = PayloadMode::kHash;
  } else {
    return unexpected(failure(
        "InvalidArgument", 400,
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."));
  }
  credentials.payload_hash = declared;  // The client signed its own spelling; comparisons with the body use lower case.
  return {};
}

// ACCESSKEY/yyyymmdd/region/service/aws4_request, where the access key may hold slashes of its own.
bool parse_credential(std::string_view text, Credentials& credentials) {
  std::string_view fields[4];
  for (size_t i = 4; i-- > 0;) {
    size_t slash = text.rfind('/');
    if (slash == std::string_view::npos) return false;
    fields[i] = text.substr(slash + 1);
    text = text.substr(0, slash);
  }
  bool date = fields[0].size() == 8 && std::ranges::all_of(fields[0], [](char c) { return c >= '0' && c <= '9'; });
  // The region may be empty: clients without one sign so, and where any region is good this one is.
  if (text.empty() || text.size() > 128 || !date || fields[2].empty() || fields[3] != kScopeEnd) return false;
  credentials.access_key = text;
  credentials.scope = {std::string(fields[0]), std::string(fields[1]), std::string(fields[2])};
  return true;
}

// Fails with the message of a wrong scope, without the words that header and query put before it.
std::optional<std::string> wrong_scope(const Credentials& credentials, const SigningOptions& options) {
  const CredentialScope& scope = credentials.scope;
  if (scope.service != options.service)
    return "incorrect service \"" + scope.service + "\". This endpoint belongs to \"" + options.service + "\".";
  if (!options.region.empty() && scope.region != options.region)
    return "the region '" + scope.region + "' is wrong; expecting '" + options.region + "'";
  if (!std::string_view(credentials.amz_date).starts_with(scope.date))
    return "Invalid credential date \"" + scope.date + "\". This date is not the same as X-Amz-Date: \"" +
           credentials.amz_date + "\".";
  return {};
}

bool parse_signed_headers(std::string_view list, std::vector<std::string>& names) {
  while (true) {
    size_t end = list.find(';');
    std::string_view name = list.substr(0, end);
    if (name.empty() || names.size() == kSignedHeadersMax) return false;
    names.push_back(base::lower(name));
    if (end == std::string_view::npos) return true;
    list.remove_prefix(end + 1);
  }
}

AuthResult<Credentials> find_header(const RequestView& request, std::string_view authorization,
                                    const SigningOptions& options) {
  Credentials credentials;
  credentials.scheme = AuthScheme::kV4Header;
  std::string_view credential, signed_headers, signature;
  std::string_view rest = authorization.substr(kAlgorithm.size());
  while (!rest.empty()) {
    size_t end = rest.find(',');
    std::string_view raw = trim_view(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (raw.empty()) continue;
    std::string_view* target = raw.starts_with("Credential=")      ? &credential
                               : raw.starts_with("SignedHeaders=") ? &signed_headers
                               : raw.starts_with("Signature=")     ? &signature
                                                                   : nullptr;
    if (target == nullptr || !target->empty())
      return unexpected(malformed_header("it has an unknown or repeated component."));
    *target = raw.substr(raw.find('=') + 1);
  }
  if (credential.empty()) return unexpected(malformed_header("missing Credential."));
  if (signed_headers.empty()) return unexpected(malformed_header("missing SignedHeaders."));
  if (signature.empty()) return unexpected(malformed_header("missing Signature."));
  if (!parse_credential(credential, credentials))
    return unexpected(malformed_header(
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."));
  if (!parse_signed_headers(signed_headers, credentials.signed_headers))
    return unexpected(malformed_header("SignedHeaders must be lower-case names separated by ';', at most " +
                                       std::to_string(kSignedHeadersMax) + "."));
  credentials.signature = signature;

  auto amz_date = header(request, kAmzDate);
  auto date = amz_date ? parse_amz_date(trim(*amz_date, false)) : std::optional<WallTime>{};
  if (!date) {
    auto plain = header(request, "date");
    std::string text = plain ? trim(*plain, false) : std::string{};
    date = parse_http_date(text);
    if (!date) date = parse_amz_date(text);
  }
  if (!date) return unexpected(access_denied("AWS authentication requires a valid Date or x-amz-date header"));
  credentials.signed_at = *date;
  credentials.amz_date = amz_date_text(*date);
  if (auto wrong = wrong_scope(credentials, options)) {
    AuthFailure refused = malformed_header(std::move(*wrong));
    refused.region = options.region;
    return unexpected(std::move(refused));
  }
  if (auto token = header(request, kSecurityToken)) credentials.security_token = trim(*token, false);

  auto declared = header(request, kContentSha256);
  if (!declared) {
    if (options.service == "s3")
      return unexpected(
          failure("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256"));
    credentials.payload = PayloadMode::kHash;  // The caller fills in payload_hash.
    return credentials;
  }
  auto payload = parse_payload(trim(*declared, false), credentials);
  if (!payload) return unexpected(std::move(payload.error()));
  return credentials;
}

AuthResult<Credentials> find_query(const RequestView& request, const std::vector<Parameter>& query,
                                   const SigningOptions& options) {
  Credentials credentials;
  credentials.scheme = AuthScheme::kV4Query;
  const std::string* algorithm = find(query, "X-Amz-Algorithm");
  const std::string* credential = find(query, "X-Amz-Credential");
  const std::string* date = find(query, "X-Amz-Date");
  const std::string* expires = find(query, "X-Amz-Expires");
  const std::string* signed_headers = find(query, "X-Amz-SignedHeaders");
  const std::string* signature = find(query, "X-Amz-Signature");
  if (!algorithm || !credential || !date || !expires || !signed_headers || !signature)
    return unexpected(
        malformed_query("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                        "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."));
  for (const Parameter& parameter : query)
    if (parameter.name.starts_with("X-Amz-") && std::ranges::count(query, parameter.name, &Parameter::name) > 1)
      return unexpected(malformed_query("The query parameter " + parameter.name + " appears more than once."));
  if (*algorithm != kAlgorithm)
    return unexpected(malformed_query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
  if (!parse_credential(*credential, credentials))
    return unexpected(
        malformed_query("Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "
                        "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."));
  auto signed_at = parse_amz_date(*date);
  if (!signed_at)
    return unexpected(malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""));
  credentials.signed_at = *signed_at;
  credentials.amz_date = *date;
  auto [end, error] = std::from_chars(expires->data(), expires->data() + expires->size(), credentials.expires_seconds);
  bool number = end == expires->data() + expires->size() && !expires->empty();
  bool too_large = number && error == std::errc::result_out_of_range;
  if (!too_large && (!number || error != std::errc()))
    return unexpected(malformed_query("X-Amz-Expires should be a number"));
  // A number outside the bounds is a URL that is not good at any time: refused as an expired one is.
  if (too_large || credentials.expires_seconds > kPresignSecondsMax)
    return unexpected(
        access_denied("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
                      "less than 604800 seconds"));
  if (credentials.expires_seconds < 0) return unexpected(access_denied("X-Amz-Expires must be non-negative"));
  if (credentials.expires_seconds == 0) return unexpected(access_denied("X-Amz-Expires must be at least 1 second"));
  if (!parse_signed_headers(*signed_headers, credentials.signed_headers))
    return unexpected(malformed_query("X-Amz-SignedHeaders must be lower-case names separated by ';'."));
  if (auto wrong = wrong_scope(credentials, options)) {
    AuthFailure refused = malformed_query("Error parsing the X-Amz-Credential parameter; " + *wrong);
    refused.region = options.region;
    return unexpected(std::move(refused));
  }
  credentials.signature = *signature;
  if (const std::string* token = find(query, "X-Amz-Security-Token")) credentials.security_token = *token;

  // The mode of the body: from the URL, or from a header that is signed with it; otherwise the body is not signed.
  std::string declared(kUnsignedPayload);
  if (const std::string* in_query = find(query, "X-Amz-Content-Sha256")) {
    declared = *in_query;
  } else if (auto in_header = header(request, kContentSha256)) {
    std::string value = trim(*in_header, false);
    bool is_signed = std::ranges::find(credentials.signed_headers, kContentSha256) != credentials.signed_headers.end();
    if (is_signed || value.starts_with("STREAMING-")) declared = value;
  }
  auto payload = parse_payload(declared, credentials);
  if (!payload) return unexpected(std::move(payload.error()));
  return credentials;
}

// Which scheme the query string speaks, by the names of its parameters; cheap for the many requests that have none.
AuthScheme scheme_of_query(std::string_view query) {
  while (!query.empty()) {
    std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    std::string_view name = part.substr(0, part.find('='));
    if (name == "X-Amz-Algorithm" || name == "X-Amz-Signature" || name == "X-Amz-Credential")
      return AuthScheme::kV4Query;
    if (name == "AWSAccessKeyId" || name == "Signature") return AuthScheme::kV2Query;
  }
  return AuthScheme::kAnonymous;
}

// S3 signs the path encoded once, whatever spelling of it the client put on the wire.
std::string canonical_path(std::string_view path) {
  auto decoded = base::url_decode(path);
  if (!decoded) return std::string(path);
  return base::url_encode(*decoded, base::Slash::kKeep);
}

std::string canonical_query(std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters) return std::string(query);
  std::vector<std::pair<std::string, std::string>> encoded;
  encoded.reserve(parameters->size());
  for (const Parameter& parameter : *parameters) {
    if (parameter.name == "X-Amz-Signature") continue;
    encoded.emplace_back(base::url_encode(parameter.name), base::url_encode(parameter.value));
  }
  std::ranges::sort(encoded);
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name;
    out += '=';
    out += value;
  }
  return out;
}

std::string join(std::span<const std::string> names, char separator) {
  std::string out;
  for (const std::string& name : names) {
    if (!out.empty()) out += separator;
    out += name;
  }
  return out;
}

std::string canonical_with_path(const RequestView& request, std::string_view path,
                                std::span<const std::string> signed_headers, std::string_view payload_hash) {
  std::string out;
  out.reserve(512 + request.target.size());
  out += request.method;
  out += '\n';
  out += path;
  out += '\n';
  out += canonical_query(split_target(request.target).query);
  out += '\n';
  for (const std::string& name : signed_headers) {
    out += name;
    out += ':';
    bool first = true;
    for (const HeaderView& field : request.headers) {
      if (!base::equal_ignoring_case(field.name, name)) continue;
      if (!first) out += ',';
      first = false;
      out += trim(field.value, true);
    }
    out += '\n';
  }
  out += '\n';
  out += join(signed_headers, ';');
  out += '\n';
  out += payload_hash;
  return out;
}

// host and every x-amz-* header must be signed, or a proxy could add "x-amz-acl: public-read" to a request.
AuthResult<void> check_signed_headers(const RequestView& request, const Credentials& credentials) {
  auto is_signed = [&](std::string_view name) {
    return std::ranges::any_of(credentials.signed_headers,
                               [&](const std::string& one) { return base::equal_ignoring_case(one, name); });
  };
  if (!is_signed("host")) return unexpected(access_denied("The request signature must cover the host header."));
  std::string missing;
  for (const HeaderView& field : request.headers) {
    if (field.name.size() < 6 || !base::equal_ignoring_case(field.name.substr(0, 6), "x-amz-") || is_signed(field.name))
      continue;
    // A pre-signed URL says itself whether the body is signed; what an uploader adds about the hash changes nothing.
    bool about_body = credentials.scheme == AuthScheme::kV4Query &&
                      base::equal_ignoring_case(field.name, kContentSha256) && !is_streaming(credentials.payload);
    if (!about_body) missing += (missing.empty() ? "" : ", ") + base::lower(field.name);
  }
  if (!missing.empty())
    return unexpected(access_denied("There were headers present in the request which were not signed: " + missing));
  return {};
}

AuthResult<void> check_time(const Credentials& credentials, WallTime now, const SigningOptions& options) {
  if (credentials.scheme == AuthScheme::kV4Query) {
    if (now > credentials.signed_at + std::chrono::seconds(credentials.expires_seconds))
      return unexpected(access_denied("Request has expired"));
    if (now + options.skew_max < credentials.signed_at) return unexpected(access_denied("Request is not valid yet"));
    return {};
  }
  if (now > credentials.signed_at + options.skew_max || now + options.skew_max < credentials.signed_at)
    return unexpected(failure(
        "RequestTimeTooSkewed", 403,
        "The difference between the request time and the current time is too large. The request was signed at " +
            credentials.amz_date + ", the server's time is " + amz_date_text(now) + "."));
  return {};
}

AuthFailure wrong_signature(std::string canonical, std::string text) {
  AuthFailure refused =
      failure("SignatureDoesNotMatch", 403,
              "The request signature we calculated does not match the signature you provided. Check your key and "
              "signing method.");
  refused.canonical_request = std::move(canonical);
  refused.string_to_sign = std::move(text);
  return refused;
}

bool signature_matches(std::string_view presented, std::string_view computed) {
  return base::constant_time_equal(as_bytes(presented), as_bytes(computed));
}

Verified verified(const Credentials& credentials, const SigningKey& key) {
  Verified result;
  result.payload = credentials.payload;
  if (credentials.payload == PayloadMode::kHash) result.payload_hash = base::lower(credentials.payload_hash);
  result.signing_key = key;
  result.seed_signature = credentials.signature;
  result.amz_date = credentials.amz_date;
  result.scope = credentials.scope.text();
  return result;
}

}  // namespace

std::string CredentialScope::text() const {
  std::string out = date + "/" + region + "/" + service + "/";
  out += kScopeEnd;
  return out;
}

AuthResult<Credentials> find_credentials(const RequestView& request, const SigningOptions& options) {
  std::string_view raw_query = split_target(request.target).query;
  auto authorization = header(request, "authorization");
  AuthScheme in_query = scheme_of_query(raw_query);
  if (authorization && in_query != AuthScheme::kAnonymous)
    return unexpected(
        failure("InvalidArgument", 400,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified"));
  if (authorization) {
    if (authorization->size() > kAuthorizationBytesMax) return unexpected(malformed_header("it is too long."));
    std::string_view text = *authorization;
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    if (text.starts_with(kAlgorithm) && text.size() > kAlgorithm.size() &&
        (text[kAlgorithm.size()] == ' ' || text[kAlgorithm.size()] == '\t'))
      return find_header(request, text, options);
    if (text.starts_with("AWS ")) return find_v2_header(text.substr(4), options);
    if (text.empty()) return unexpected(access_denied("The authorization header is empty."));
    return unexpected(failure("InvalidArgument", 400, "Unsupported Authorization Type"));
  }
  if (in_query == AuthScheme::kAnonymous) return Credentials{};
  auto query = parse_query(raw_query);
  if (!query) return unexpected(malformed_query("The query string is malformed or has too many parameters."));
  return in_query == AuthScheme::kV4Query ? find_query(request, *query, options) : find_v2_query(*query, options);
}

SigningKey derive_signing_key(std::string_view secret, const CredentialScope& scope) {
  std::string start = "AWS4";
  start += secret;
  auto key = base::hmac_sha256(as_bytes(start), scope.date);
  base::secure_wipe(as_writable_bytes(start));
  key = base::hmac_sha256(key, scope.region);
  key = base::hmac_sha256(key, scope.service);
  return base::hmac_sha256(key, kScopeEnd);
}

const SigningKey& SigningKeyCache::get(std::string_view access_key, std::string_view secret,
                                       const CredentialScope& scope) {
  std::string scope_text = scope.text();
  Entry& entry = entries_[(base::xxh3_64(access_key) ^ base::xxh3_64(scope_text)) % kEntries];
  if (entry.access_key != access_key || entry.secret != secret || entry.scope != scope_text) {
    base::secure_wipe(as_writable_bytes(entry.secret));
    entry.access_key = access_key;
    entry.secret = secret;
    entry.key = derive_signing_key(secret, scope);
    entry.scope = std::move(scope_text);
  }
  return entry.key;
}

SigningKeyCache::~SigningKeyCache() {
  for (Entry& entry : entries_) {
    base::secure_wipe(as_writable_bytes(entry.secret));
    base::secure_wipe(entry.key);
  }
}

AuthResult<Verified> verify(const RequestView& request, const Credentials& credentials, std::string_view secret,
                            WallTime now, const SigningOptions& options, SigningKeyCache& cache) {
  if (credentials.scheme == AuthScheme::kV2Header || credentials.scheme == AuthScheme::kV2Query)
    return verify_v2(request, credentials, secret, now, options);
  if (credentials.scheme == AuthScheme::kAnonymous) return anonymous_payload(request);
  if (auto time = check_time(credentials, now, options); !time) return unexpected(std::move(time.error()));
  if (auto covered = check_signed_headers(request, credentials); !covered)
    return unexpected(std::move(covered.error()));

  const SigningKey& key = cache.get(credentials.access_key, secret, credentials.scope);
  std::string canonical = canonical_request(request, credentials.signed_headers, credentials.payload_hash);
  std::string text = string_to_sign(credentials.amz_date, credentials.scope, canonical);
  if (signature_matches(credentials.signature, hex_hmac(key, text))) return verified(credentials, key);

  // Some clients sign the path as they wrote it, with characters that others would have encoded: the same resource
  // either way.
  std::string_view raw_path = split_target(request.target).path;
  if (raw_path != canonical_path(raw_path)) {
    std::string raw = canonical_with_path(request, raw_path, credentials.signed_headers, credentials.payload_hash);
    if (signature_matches(credentials.signature,
                          hex_hmac(key, string_to_sign(credentials.amz_date, credentials.scope, raw))))
      return verified(credentials, key);
  }
  return unexpected(wrong_signature(std::move(canonical), std::move(text)));
}

AuthResult<Verified> anonymous_payload(const RequestView& request) {
  Verified result;
  auto declared = header(request, kContentSha256);
  if (!declared) return result;
  Credentials parsed;
  auto payload = parse_payload(trim(*declared, false), parsed);
  if (!payload) return unexpected(std::move(payload.error()));
  if (parsed.payload == PayloadMode::kStreamingSigned || parsed.payload == PayloadMode::kStreamingSignedTrailer)
    return unexpected(access_denied("A body with signed chunks needs a signed request."));
  result.payload = parsed.payload;
  if (parsed.payload == PayloadMode::kHash) result.payload_hash = base::lower(parsed.payload_hash);
  return result;
}

AuthResult<void> check_payload(const Verified& verified, const base::Sha256Digest& body) {
  if (verified.payload != PayloadMode::kHash || base::hex_encode(body) == verified.payload_hash) return {};
  return unexpected(failure("XAmzContentSHA256Mismatch", 400,
                            "The provided 'x-amz-content-sha256' header does not match what was computed."));
}

AuthFailure invalid_access_key(std::string_view access_key) {
  return failure(
      "InvalidAccessKeyId", 403,
      "The AWS Access Key Id you provided does not exist in our records: " + std::string(access_key.substr(0, 128)));
}

AuthFailure invalid_token() {
  return failure("InvalidToken", 400, "The provided token is malformed or otherwise invalid.");
}

// --- POST

AuthResult<Credentials> find_post_credentials(const PostFields& fields, const SigningOptions& options) {
  Credentials credentials;
  bool version4 = !fields.algorithm.empty() || !fields.credential.empty() || !fields.signature.empty();
  if (!version4) {
    if (fields.v2_access_key.empty() && fields.v2_signature.empty()) return credentials;
    if (!options.version2)
      return unexpected(failure("InvalidRequest", 400,
                                "Signature Version 2 is not enabled here; sign the form with AWS4-HMAC-SHA256."));
    if (fields.v2_access_key.empty() || fields.v2_signature.empty() || fields.policy.empty())
      return unexpected(
          failure("InvalidArgument", 400, "A signed form has the fields policy, AWSAccessKeyId and signature."));
    credentials.scheme = AuthScheme::kV2Query;
    credentials.access_key = fields.v2_access_key;
    credentials.signature = fields.v2_signature;
    return credentials;
  }
  if (fields.algorithm.empty() || fields.credential.empty() || fields.signature.empty() || fields.date.empty() ||
      fields.policy.empty())
    return unexpected(failure(
        "InvalidArgument", 400,
        "A signed form has the fields policy, x-amz-algorithm, x-amz-credential, x-amz-date and x-amz-signature."));
  if (fields.algorithm != kAlgorithm)
    return unexpected(failure("InvalidArgument", 400, "x-amz-algorithm must be AWS4-HMAC-SHA256."));
  credentials.scheme = AuthScheme::kV4Query;
  auto date = parse_amz_date(fields.date);
  if (!date) return unexpected(failure("InvalidArgument", 400, "x-amz-date must be of the form yyyymmddThhmmssZ."));
  credentials.signed_at = *date;
  credentials.amz_date = fields.date;
  if (!parse_credential(fields.credential, credentials))
    return unexpected(failure("InvalidArgument", 400,
                              "x-amz-credential must be \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."));
  if (auto wrong = wrong_scope(credentials, options))
    return unexpected(failure("InvalidArgument", 400, "x-amz-credential: " + *wrong));
  credentials.signature = fields.signature;
  credentials.security_token = fields.security_token;
  return credentials;
}

AuthResult<void> verify_post(const PostFields& fields, const Credentials& credentials, std::string_view secret,
                             SigningKeyCache& cache) {
  std::string computed;
  if (credentials.scheme == AuthScheme::kV2Query)
    computed = base::base64_encode(base::hmac_sha1(as_bytes(secret), as_bytes(fields.policy)));
  else
    computed = hex_hmac(cache.get(credentials.access_key, secret, credentials.scope), fields.policy);
  if (signature_matches(credentials.signature, computed)) return {};
  return unexpected(wrong_signature({}, std::string(fields.policy)));
}

// --- canonical forms and signing

std::string canonical_request(const RequestView& request, std::span<const std::string> signed_headers,
                              std::string_view payload_hash) {
  return canonical_with_path(request, canonical_path(split_target(request.target).path), signed_headers, payload_hash);
}

std::string string_to_sign(std::string_view amz_date, const CredentialScope& scope, std::string_view canonical) {
  std::string out(kAlgorithm);
  out += '\n';
  out += amz_date;
  out += '\n';
  out += scope.text();
  out += '\n';
  out += base::hex_encode(base::sha256(canonical));
  return out;
}

std::string amz_date_text(WallTime time) {
  std::chrono::sys_seconds seconds{std::chrono::floor<std::chrono::seconds>(time.time_since_epoch())};
  auto day = std::chrono::floor<std::chrono::days>(seconds);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss clock(seconds - day);
  char text[40];
  std::snprintf(text, sizeof text, "%04d%02u%02uT%02d%02d%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

std::vector<OwnedHeader> sign(const RequestView& request, const SigningIdentity& identity,
                              std::string_view payload_hash, WallTime now) {
  std::string date = amz_date_text(now);
  CredentialScope scope{date.substr(0, 8), identity.region, identity.service};
  std::vector<OwnedHeader> added = {{std::string(kAmzDate), date},
                                    {std::string(kContentSha256), std::string(payload_hash)}};
  if (!identity.session_token.empty()) added.push_back({std::string(kSecurityToken), identity.session_token});

  std::vector<HeaderView> headers(request.headers.begin(), request.headers.end());
  for (const OwnedHeader& field : added) headers.push_back({field.name, field.value});
  std::vector<std::string> names;
  for (const HeaderView& field : headers) {
    std::string name = base::lower(field.name);
    if (name == "host" || name == "content-type" || name == "content-md5" || name.starts_with("x-amz-"))
      names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());

  RequestView complete{request.method, request.target, headers};
  std::string text = string_to_sign(date, scope, canonical_request(complete, names, payload_hash));
  std::string signature = hex_hmac(derive_signing_key(identity.secret_key, scope), text);
  added.push_back({"authorization", std::string(kAlgorithm) + " Credential=" + identity.access_key + "/" +
                                        scope.text() + ",SignedHeaders=" + join(names, ';') +
                                        ",Signature=" + signature});
  return added;
}

std::string presign(const RequestView& request, const SigningIdentity& identity, int64_t expires_seconds,
                    WallTime now) {
  std::string date = amz_date_text(now);
  CredentialScope scope{date.substr(0, 8), identity.region, identity.service};
  std::vector<std::string> names;
  for (const HeaderView& field : request.headers) names.push_back(base::lower(field.name));
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());

  std::string target(request.target);
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += "X-Amz-Algorithm=" + std::string(kAlgorithm);
  target += "&X-Amz-Credential=" + base::url_encode(identity.access_key + "/" + scope.text());
  target += "&X-Amz-Date=" + date;
  target += "&X-Amz-Expires=" + std::to_string(expires_seconds);
  if (!identity.session_token.empty()) target += "&X-Amz-Security-Token=" + base::url_encode(identity.session_token);
  target += "&X-Amz-SignedHeaders=" + base::url_encode(join(names, ';'));
  RequestView complete{request.method, target, request.headers};
  std::string text = string_to_sign(date, scope, canonical_request(complete, names, kUnsignedPayload));
  return target + "&X-Amz-Signature=" + hex_hmac(derive_signing_key(identity.secret_key, scope), text);
}

}  // namespace polis::object
