#include "kernel/http/router.h"

#include "kernel/http/uri.h"

namespace polis::http {
namespace {

// Handlers hold their own text; answers of the router itself need only this.
Task<void> answer_error(Response& response, int status, std::string detail) {
  auto sent = co_await response.error(status, std::move(detail));
  // A client that is gone has no use for an answer; the connection notices by itself.
  (void)sent;
}

Task<void> answer_options(Response& response) {
  response.status(204);
  auto sent = co_await response.send();
  (void)sent;
}

}  // namespace

bool Router::Node::has_routes() const {
  if (any) return true;
  for (const auto& route : by_method) {
    if (route) return true;
  }
  return false;
}

Router::Node& Router::node_of(std::string_view pattern) {
  POLIS_ASSERT(!pattern.empty() && pattern.front() == '/');
  Node* node = &root_;
  size_t parameters = 0;
  std::string_view segment;
  while (next_path_segment(pattern, segment)) {
    if (!segment.starts_with('{')) {
      auto& child = node->literals[std::string(segment)];
      if (!child) child = std::make_unique<Node>();
      node = child.get();
      continue;
    }
    POLIS_ASSERT(segment.ends_with('}') && ++parameters <= 8);
    std::string_view name = segment.substr(1, segment.size() - 2);
    bool rest = name.ends_with("...");
    if (rest) name.remove_suffix(3);
    POLIS_ASSERT(!name.empty());
    POLIS_ASSERT(!rest || pattern.empty());  // {name...} stands last
    auto& child = rest ? node->rest : node->parameter;
    std::string& child_name = rest ? node->rest_name : node->parameter_name;
    if (!child) {
      child = std::make_unique<Node>();
      child_name = name;
    }
    POLIS_ASSERT(child_name == name);  // one name for one place, or handlers would miss theirs
    node = child.get();
  }
  return *node;
}

void Router::place(std::unique_ptr<Route>& slot, std::string_view, Handler handler, RouteOptions options) {
  POLIS_ASSERT(!slot);
  slot = std::make_unique<Route>(Route{std::move(handler), options});
}

void Router::add(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  POLIS_ASSERT(method != Method::kOther);
  place(node_of(pattern).by_method[static_cast<size_t>(method)], pattern, std::move(handler), options);
}

void Router::any(std::string_view pattern, Handler handler, RouteOptions options) {
  place(node_of(pattern).any, pattern, std::move(handler), options);
}

// Backtracks from a literal to a parameter to a rest. A tree, so each node is visited at most once; patterns rarely
// overlap, so nearly always the first way is the right one.
Router::Match Router::find(const Node& node, std::string_view path, Request& request, const Node*& found) {
  if (path.empty() && node.has_routes()) {
    found = &node;
    return Match::kFound;
  }
  std::string_view after = path, segment;
  Match worst = Match::kNone;
  const size_t params = request.param_count();
  if (next_path_segment(after, segment)) {
    auto literal = node.literals.find(segment);
    if (literal != node.literals.end()) {
      Match match = find(*literal->second, after, request, found);
      if (match == Match::kFound) return match;
      if (match != Match::kNone) worst = match;
      request.drop_params(params);
    }
    if (node.parameter && !segment.empty()) {
      Match match = Match::kBadEncoding;
      if (request.add_param(node.parameter_name, segment)) match = find(*node.parameter, after, request, found);
      if (match == Match::kFound) return match;
      if (match != Match::kNone) worst = match;
      request.drop_params(params);
    }
  }
  if (node.rest && node.rest->has_routes()) {
    // Raw, because only the handler knows whether an encoded '/' is one.
    std::string_view rest = path.empty() ? path : path.substr(1);
    request.add_raw_param(node.rest_name, rest);
    found = node.rest.get();
    return Match::kFound;
  }
  return worst;
}

Task<void> Router::handle(Request& request, Response& response) const {
  if (request.path() == "*") return answer_options(response);
  const Node* node = nullptr;
  switch (find(root_, request.path(), request, node)) {
    case Match::kNone:
      return answer_error(response, 404, "nothing is served at this path");
    case Match::kBadEncoding:
      return answer_error(response, 400, "the percent-encoding of the path is broken");
    case Match::kFound:
      break;
  }
  const Route* route = node->by_method[static_cast<size_t>(request.method())].get();
  if (!route && request.method() == Method::kHead) route = node->by_method[static_cast<size_t>(Method::kGet)].get();
  if (!route) route = node->any.get();
  if (!route) {
    std::string allow;
    auto allowed = [&](Method method) {
      if (!allow.empty()) allow.append(", ");
      allow.append(name(method));
    };
    for (size_t i = 1; i < kMethodCount; ++i) {
      auto method = static_cast<Method>(i);
      bool head_by_get = method == Method::kHead && node->by_method[static_cast<size_t>(Method::kGet)];
      if (node->by_method[i] || head_by_get || method == Method::kOptions) allowed(method);
    }
    response.set(Field::kAllow, allow);
    if (request.method() == Method::kOptions) return answer_options(response);
    return answer_error(response, 405, "this path does not answer " + std::string(request.method_text()));
  }
  if (route->options.body_size_bytes_max) request.limit_body(*route->options.body_size_bytes_max);
  if (request.content_length().value_or(0) > request.body_size_bytes_max()) {
    return answer_error(response, 413,
                        "the body may have at most " + std::to_string(request.body_size_bytes_max()) + " bytes");
  }
  return route->handler(request, response);
}

Handler Router::handler(std::shared_ptr<const Router> router) {
  return
      [router = std::move(router)](Request& request, Response& response) { return router->handle(request, response); };
}

}  // namespace polis::http
