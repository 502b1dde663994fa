#include "kernel/http/uri.h"

#include "kernel/base/text_encoding.h"
#include "kernel/http/h1.h"
#include "kernel/http/h1_head.h"

namespace polis::http {

std::string Url::authority() const {
  if (unix_socket) return "localhost";
  std::string out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? 443 : 80)) out.append(1, ':').append(std::to_string(port));
  return out;
}

Result<Url> Url::parse(std::string_view text) {
  Url url;
  auto broken = [&](const char* why) { return fail(Code::kInvalid, "URL '" + std::string(text) + "': " + why); };
  if (text.starts_with("unix:")) {
    std::string_view rest = text.substr(5);
    size_t colon = rest.find(':');
    url.unix_socket = true;
    url.host = rest.substr(0, colon);
    url.target = colon == std::string_view::npos ? "/" : rest.substr(colon + 1);
    if (url.host.empty() || url.host.front() != '/') return broken("a Unix socket needs an absolute path");
    if (url.target.empty() || url.target.front() != '/' || !h1::valid_target(url.target))
      return broken("the path is malformed");
    return url;
  }
  size_t begin = 0;
  if (text.starts_with("http://")) {
    begin = 7;
    url.port = 80;
  } else if (text.starts_with("https://")) {
    begin = 8;
    url.port = 443;
    url.tls = true;
  } else {
    return broken("it must begin with http://, https:// or unix:");
  }
  std::string_view rest = text.substr(begin, text.find('#') - begin);
  size_t end = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, end);
  if (!h1::valid_host(authority)) return broken("the host is malformed");
  size_t colon = authority.rfind(':');
  bool bracketed = authority.front() == '[';
  if (colon != std::string_view::npos && (!bracketed || authority[colon - 1] == ']')) {
    uint64_t port = 0;
    if (colon + 1 < authority.size()) {
      if (!h1::detail::parse_decimal(authority.substr(colon + 1), port) || port == 0)
        return broken("the port is malformed");
      url.port = static_cast<uint16_t>(port);
    }
    authority = authority.substr(0, colon);
  }
  url.host = bracketed ? authority.substr(1, authority.size() - 2) : authority;
  if (end == std::string_view::npos) {
    url.target = "/";
  } else if (rest[end] == '?') {
    url.target = "/" + std::string(rest.substr(end));
  } else {
    url.target = rest.substr(end);
  }
  if (!h1::valid_target(url.target)) return broken("the path holds a character that must be percent-encoded");
  return url;
}

bool next_query_parameter(std::string_view& query, QueryParameter& parameter) {
  while (!query.empty()) {
    size_t end = query.find('&');
    std::string_view text = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (text.empty()) continue;
    size_t equals = text.find('=');
    parameter.has_value = equals != std::string_view::npos;
    parameter.name = text.substr(0, equals);
    parameter.value = parameter.has_value ? text.substr(equals + 1) : std::string_view();
    return true;
  }
  return false;
}

Result<std::optional<std::string>> query_value(std::string_view query, std::string_view name) {
  QueryParameter parameter;
  while (next_query_parameter(query, parameter)) {
    std::string decoded = TRY(base::url_decode(parameter.name, base::Plus::kSpace));
    if (decoded == name) return TRY(base::url_decode(parameter.value, base::Plus::kSpace));
  }
  return std::nullopt;
}

bool next_path_segment(std::string_view& path, std::string_view& segment) {
  if (path.empty() || path.front() != '/') return false;
  size_t end = path.find('/', 1);
  segment = path.substr(1, end == std::string_view::npos ? end : end - 1);
  path.remove_prefix(end == std::string_view::npos ? path.size() : end);
  return true;
}

}  // namespace polis::http
