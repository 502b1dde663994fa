#include "systems/object/server.h"

namespace polis::object {
namespace {

// Errors that the HTTP layer finds before a request reaches the Service speak S3's language too.
http::ErrorDocument error_document(const http::Problem& problem) {
  std::string_view code = "BadRequest";
  switch (problem.status) {
    case 408: code = "RequestTimeout"; break;
    case 411: code = "MissingContentLength"; break;
    case 413: code = "EntityTooLarge"; break;
    case 414: code = "KeyTooLongError"; break;
    case 431: code = "RequestHeaderSectionTooLarge"; break;
    case 501: code = "NotImplemented"; break;
    case 503: code = "SlowDown"; break;
    default:
      if (problem.status >= 500) code = "InternalError";
  }
  XmlWriter xml("Error", XmlWriter::Plain{});
  xml.element("Code", code).element("Message", problem.detail.empty() ? "The request could not be read" : problem.detail);
  return {.content_type = "application/xml", .body = xml.finish()};
}

http::ServerOptions http_options() {
  http::ServerOptions options;
  options.body_size_bytes_max = kPutBytesMax;  // the Service sets the real one for each request
  options.error_renderer = error_document;
  return options;
}

}  // namespace

Server::Server(store::Store& store, store::Keyspace keyspace, blob::Blob& blob, auth::Directory& directory, const Clock& clock,
               Random& random, ServiceOptions options)
    : service_(store, keyspace, blob, directory, clock, random, std::move(options)),
      http_([this](http::Request& request, http::Response& response) { return service_.handle(request, response); }, http_options()) {
  blob.set_owner(&service_.references());
}

Result<uint16_t> Server::start(const io::Endpoint& endpoint) {
  io::Endpoint bound = TRY(http_.listen(endpoint));
  background_.spawn(service_.run_background());
  return bound.port;
}

Task<void> Server::stop(Duration grace) {
  co_await http_.drain(grace);
  background_.stop();
  co_await background_.join();
  service_.blob().set_owner(nullptr);
}

}  // namespace polis::object
