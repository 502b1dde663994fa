// The small text rules that both signature versions and both directions share. Inside sigv4 only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "systems/object/sigv4.h"

namespace polis::object::sigv4 {

inline constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
inline constexpr std::string_view kScopeEnd = "aws4_request";
inline constexpr std::string_view kContentSha256 = "x-amz-content-sha256";
inline constexpr std::string_view kAmzDate = "x-amz-date";
inline constexpr std::string_view kSecurityToken = "x-amz-security-token";

// Without blanks at both ends.
std::string_view trim_view(std::string_view text);
// The same; `collapse` also turns each run of blanks inside into one.
std::string trim(std::string_view text, bool collapse);
bool is_hex64(std::string_view text);

// The first header of that name, or nothing. `name` is in lower case.
std::optional<std::string_view> header(const RequestView& request, std::string_view name);

struct Parameter {
  std::string name, value;  // decoded
};
struct Target {
  std::string_view path;   // raw
  std::string_view query;  // raw, without '?'
};
Target split_target(std::string_view target);
// Nothing if an escape is malformed or there are more than kQueryParametersMax.
std::optional<std::vector<Parameter>> parse_query(std::string_view query);
const std::string* find(const std::vector<Parameter>& parameters, std::string_view name);

// yyyymmddThhmmssZ
std::optional<WallTime> parse_amz_date(std::string_view text);
// RFC 9110 §5.6.7, the preferred form: "Sun, 06 Nov 1994 08:49:37 GMT" (also with +0000 for the zone).
std::optional<WallTime> parse_http_date(std::string_view text);

std::string hex_hmac(const SigningKey& key, std::string_view message);

AuthFailure failure(std::string_view code, int status, std::string message);
AuthFailure access_denied(std::string message);

// The two halves of the version 2 scheme (sigv2.cc).
AuthResult<Credentials> find_v2_header(std::string_view authorization, const SigningOptions& options);
AuthResult<Credentials> find_v2_query(const std::vector<Parameter>& query, const SigningOptions& options);
AuthResult<Verified> verify_v2(const RequestView& request, const Credentials& credentials, std::string_view secret,
                               WallTime now, const SigningOptions& options);

}  // namespace polis::object::sigv4
