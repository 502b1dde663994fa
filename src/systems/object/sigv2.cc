// Signature Version 2, for clients that know nothing newer. After "Signing and authenticating REST requests (AWS
// signature version 2)" of the Amazon S3 documentation.
#include <algorithm>
#include <charconv>
#include <map>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/sigv4_text.h"

namespace polis::object {
namespace {

using namespace sigv4;
using std::unexpected;

// The sub-resources and response overrides that are part of the signed resource.
constexpr std::string_view kSignedParameters[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
};

// The bucket that a virtual-host style name carries: "bucket.s3.local:9000" under the domain "s3.local".
std::string bucket_of_host(const RequestView& request, std::span<const std::string> domains) {
  auto field = header(request, "host");
  if (!field) return {};
  std::string host = base::lower(trim(*field, false));
  if (!host.starts_with('[')) host = host.substr(0, host.find(':'));
  for (const std::string& domain : domains) {
    if (host.size() <= domain.size() + 1 || !host.ends_with(domain)) continue;
    size_t dot = host.size() - domain.size() - 1;
    if (host[dot] == '.') return host.substr(0, dot);
  }
  return {};
}

AuthFailure not_enabled() {
  return failure("InvalidRequest", 400,
                 "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256 "
                 "(Signature Version 2 can be "
                 "switched on with object.sigv2).");
}

}  // namespace

std::string string_to_sign_v2(const RequestView& request, std::string_view date, std::span<const std::string> domains) {
  std::string out(request.method);
  out += '\n';
  for (std::string_view name : {"content-md5", "content-type"}) {
    if (auto field = header(request, name)) out += trim(*field, false);
    out += '\n';
  }
  out += date;
  out += '\n';
  std::map<std::string, std::string> amz;
  for (const HeaderView& field : request.headers) {
    std::string name = base::lower(field.name);
    if (!name.starts_with("x-amz-")) continue;
    auto [entry, fresh] = amz.try_emplace(std::move(name));
    if (!fresh) entry->second += ',';
    entry->second += trim(field.value, false);
  }
  for (const auto& [name, value] : amz) out += name + ":" + value + "\n";

  Target target = split_target(request.target);
  std::string bucket = bucket_of_host(request, domains);
  if (!bucket.empty()) out += "/" + bucket;
  out += target.path.empty() ? "/" : target.path;
  std::vector<Parameter> signed_parameters;
  if (auto parameters = parse_query(target.query))
    for (Parameter& parameter : *parameters)
      if (std::ranges::find(kSignedParameters, parameter.name) != std::end(kSignedParameters))
        signed_parameters.push_back(std::move(parameter));
  std::ranges::sort(signed_parameters, {},
                    [](const Parameter& parameter) { return std::tie(parameter.name, parameter.value); });
  char separator = '?';
  for (const Parameter& parameter : signed_parameters) {
    out += separator;
    out += parameter.name;
    if (!parameter.value.empty()) out += "=" + parameter.value;
    separator = '&';
  }
  return out;
}

namespace sigv4 {

AuthResult<Credentials> find_v2_header(std::string_view authorization, const SigningOptions& options) {
  if (!options.version2) return unexpected(not_enabled());
  size_t colon = authorization.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == authorization.size())
    return unexpected(
        failure("InvalidArgument", 400, "AWS authorization header is invalid. Expected AwsAccessKeyId:signature"));
  Credentials credentials;
  credentials.scheme = AuthScheme::kV2Header;
  credentials.access_key = trim(authorization.substr(0, colon), false);
  credentials.signature = trim(authorization.substr(colon + 1), false);
  return credentials;
}

AuthResult<Credentials> find_v2_query(const std::vector<Parameter>& query, const SigningOptions& options) {
  if (!options.version2) return unexpected(not_enabled());
  const std::string* access_key = find(query, "AWSAccessKeyId");
  const std::string* signature = find(query, "Signature");
  const std::string* expires = find(query, "Expires");
  if (!access_key || !signature || !expires)
    return unexpected(
        access_denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"));
  Credentials credentials;
  credentials.scheme = AuthScheme::kV2Query;
  credentials.access_key = *access_key;
  credentials.signature = *signature;
  if (const std::string* token = find(query, "x-amz-security-token")) credentials.security_token = *token;
  auto [end, error] = std::from_chars(expires->data(), expires->data() + expires->size(), credentials.expires_seconds);
  if (error != std::errc() || end != expires->data() + expires->size())
    return unexpected(access_denied("Invalid date (should be seconds since epoch): " + expires->substr(0, 64)));
  return credentials;
}

AuthResult<Verified> verify_v2(const RequestView& request, const Credentials& credentials, std::string_view secret,
                               WallTime now, const SigningOptions& options) {
  auto amz_date = header(request, kAmzDate);
  auto plain_date = header(request, "date");
  std::string date;
  if (credentials.scheme == AuthScheme::kV2Query) {
    int64_t now_seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
    if (now_seconds > credentials.expires_seconds) return unexpected(access_denied("Request has expired"));
    date = std::to_string(credentials.expires_seconds);
  } else {
    std::string text = amz_date ? trim(*amz_date, false) : plain_date ? trim(*plain_date, false) : std::string{};
    auto time = parse_http_date(text);
    if (!time) time = parse_amz_date(text);
    // A year that a WallTime cannot hold is a sound date all the same, and far off.
    bool far = !time && text.size() > 16 && text.compare(12, 4, "2200") > 0 &&
               parse_http_date(std::string(text).replace(12, 4, "2000"));
    if (!time && !far)
      return unexpected(access_denied("AWS authentication requires a valid Date or x-amz-date header"));
    if (far || now > *time + options.skew_max || now + options.skew_max < *time)
      return unexpected(failure("RequestTimeTooSkewed", 403,
                                "The difference between the request time and the current time is too large."));
    if (!amz_date) date = text;  // With x-amz-date the line of the date stays empty.
  }
  std::string text = string_to_sign_v2(request, date, options.domains);
  auto is_signature_of = [&](std::string_view signed_text) {
    std::string computed = base::base64_encode(base::hmac_sha1(as_bytes(secret), as_bytes(signed_text)));
    return base::constant_time_equal(as_bytes(credentials.signature), as_bytes(computed));
  };
  bool good = is_signature_of(text);
  if (Target target = split_target(request.target); !good && target.path.rfind('/') == 0 && target.path.size() > 1) {
    // Some clients name a bucket "/bucket" and sign it as "/bucket/".
    std::string query = target.query.empty() ? "" : "?" + std::string(target.query);
    std::string slashed = std::string(target.path) + "/" + query;
    RequestView again{request.method, slashed, request.headers};
    good = is_signature_of(string_to_sign_v2(again, date, options.domains));
    // And the "/bucket?cors" of Debian's boto3 as "/bucket?cors?cors": its path takes the query along.
    if (!good && !query.empty() && text.ends_with(query)) good = is_signature_of(text + query);
  }
  if (!good) {
    AuthFailure refused =
        failure("SignatureDoesNotMatch", 403,
                "The request signature we calculated does not match the signature you provided. Check your key and "
                "signing method.");
    refused.string_to_sign = std::move(text);
    return unexpected(std::move(refused));
  }
  return anonymous_payload(request);
}

}  // namespace sigv4
}  // namespace polis::object
