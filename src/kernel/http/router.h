// Router: which handler answers which path. Built once at start, then immutable and shared by every shard; handlers are
// called on all of them, so what they capture must be safe for that.
//
//     /api/object/v1/buckets/{bucket}          a segment, percent-decoded after the split
//     /console/{path...}                       the rest of the path, raw, at the end of a pattern only; matches "" too
//
// A segment tree: cost grows with the path, not with the number of routes. Literal segments win over {name}, which wins
// over {name...}. A path without a route is 404; a method without one 405 with Allow; HEAD falls back to GET; OPTIONS
// answers Allow.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/http/request.h"
#include "kernel/http/response.h"

namespace polis::http {

// Answers one request. The callable outlives every task it makes. A coroutine lambda may therefore capture.
using Handler = std::function<Task<void>(Request&, Response&)>;

struct RouteOptions {
  // 413 before the handler is called, or while it reads a chunked body. Empty: the server's default.
  std::optional<uint64_t> body_size_bytes_max;
};

class Router {
 public:
  // The pattern must be well-formed and new: anything else is a mistake in the program and ends it.
  void add(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});
  // Every method.
  void any(std::string_view pattern, Handler handler, RouteOptions options = {});
  void get(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    add(Method::kGet, pattern, std::move(handler), options);
  }
  void put(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    add(Method::kPut, pattern, std::move(handler), options);
  }
  void post(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    add(Method::kPost, pattern, std::move(handler), options);
  }
  void patch(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    add(Method::kPatch, pattern, std::move(handler), options);
  }
  void del(std::string_view pattern, Handler handler, RouteOptions options = {}) {
    add(Method::kDelete, pattern, std::move(handler), options);
  }

  Task<void> handle(Request& request, Response& response) const;

  // The router as a Handler, for a Server. shared_ptr because one router serves the servers of all shards.
  static Handler handler(std::shared_ptr<const Router> router);

 private:
  struct Route {
    Handler handler;
    RouteOptions options;
  };
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> parameter;
    std::unique_ptr<Node> rest;
    std::string parameter_name, rest_name;
    std::array<std::unique_ptr<Route>, kMethodCount> by_method;
    std::unique_ptr<Route> any;
    bool has_routes() const;
  };
  enum class Match { kNone, kFound, kBadEncoding };
  static Match find(const Node& node, std::string_view path, Request& request, const Node*& found);
  static void place(std::unique_ptr<Route>& slot, std::string_view pattern, Handler handler, RouteOptions options);
  Node& node_of(std::string_view pattern);

  Node root_;
};

}  // namespace polis::http
