// Taking request targets apart (RFC 3986). Raw text goes in; nothing is decoded before it is split, so that an encoded
// '/' or '&' never splits anything. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace polis::http {

// "http://host:port/path?query", "https://..." or "unix:/path/of.sock:/path?query", for clients.
struct Url {
  bool tls = false;
  bool unix_socket = false;
  std::string host;  // numeric or a name, IPv6 without brackets; the path of a Unix socket
  uint16_t port = 0;
  std::string target;  // path and query, "/" at least
  // The Host field: with brackets for IPv6, the port only where it is not the default; "localhost" for a Unix socket.
  std::string authority() const;

  static Result<Url> parse(std::string_view text);
};

// One `name=value` of a query, raw; value empty without '='.
struct QueryParameter {
  std::string_view name;
  std::string_view value;
  bool has_value = false;
};
// Takes the next parameter from the front of `query`; false at its end. Empty ones ("a&&b") are passed over.
bool next_query_parameter(std::string_view& query, QueryParameter& parameter);
// The first parameter of that decoded name, decoded ('+' is a space). Empty if there is none; kInvalid for broken
// percent-encoding.
Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name);

// Takes the next segment from the front of `path`, which begins with '/': "/a//b" gives "a", "", "b". False at its end;
// "/" gives one empty segment.
bool next_path_segment(std::string_view& path, std::string_view& segment);

}  // namespace polis::http
