#include "systems/object/server.h"

#include <algorithm>

namespace polis::object {
namespace {

// Errors that the HTTP layer finds before a request reaches the Service speak S3's language too.
http::ErrorDocument error_document(const http::Problem& problem) {
  std::string_view code = "BadRequest";
  switch (problem.status) {
    case 408:
      code = "RequestTimeout";
      break;
    case 411:
      code = "MissingContentLength";
      break;
    case 413:
      code = "EntityTooLarge";
      break;
    case 414:
      code = "KeyTooLongError";
      break;
    case 431:
      code = "RequestHeaderSectionTooLarge";
      break;
    case 501:
      code = "NotImplemented";
      break;
    case 503:
      code = "SlowDown";
      break;
    default:
      if (problem.status >= 500) code = "InternalError";
  }
  XmlWriter xml("Error", XmlWriter::Plain{});
  xml.element("Code", code)
      .element("Message", problem.detail.empty() ? "The request could not be read" : problem.detail);
  return {.content_type = "application/xml", .body = xml.finish()};
}

http::ServerOptions http_options() {
  http::ServerOptions options;
  options.body_size_bytes_max = kPutBytesMax;  // the Service sets the real one for each request
  options.error_renderer = error_document;
  options.limits.unknown_expectation_refused = false;
  return options;
}

}  // namespace

Server::Server(io::Runtime& runtime, store::Store& store, store::Keyspace keyspace, blob::Blob& blob,
               auth::Directory& directory, const Clock& clock, Random& random, ServiceOptions options, CareOptions care)
    : runtime_(runtime),
      store_(store),
      blob_(blob),
      engine_(keyspace),
      http_(
          runtime,
          [this](http::Request& request, http::Response& response) { return service().handle(request, response); },
          http_options()),
      care_(store, keyspace, blob, clock, care) {
  for (unsigned i = 0; i < runtime.size(); ++i)
    services_.push_back(
        std::make_unique<Service>(i, runtime.size(), home_, store, keyspace, blob, directory, clock, random, options));
  blob.set_owner(&service().references());
}

Task<Result<uint16_t>> Server::start(io::Endpoint endpoint) {
  io::Endpoint bound = CO_TRY(co_await http_.listen(std::move(endpoint)));
  background_.spawn(service().run_background());
  background_.spawn(care_.compact());
  background_.spawn(care_.scrub());
  lifecycle_ = std::make_unique<LifecycleWorker>(service());
  background_.spawn(lifecycle_->run());
  co_return bound.port;
}

Task<Result<uint16_t>> Server::listen_tls(io::Endpoint endpoint, std::shared_ptr<io::TlsContext> tls) {
  io::Endpoint bound = CO_TRY(co_await http_.listen(std::move(endpoint), std::move(tls)));
  co_return bound.port;
}

Task<void> Server::stop(Duration grace) {
  co_await http_.drain(grace);
  background_.stop();
  co_await background_.join();
  blob_.set_owner(nullptr);
}

Task<ServiceStatistics> Server::statistics() {
  ServiceStatistics sum;
  for (unsigned i = 0; i < runtime_.size(); ++i) {
    auto copy = [](const Service& service) -> Task<ServiceStatistics> { co_return service.statistics(); };
    ServiceStatistics one = co_await io::on(runtime_.shard(i), [this, i, copy] { return copy(*services_[i]); });
    sum.requests += one.requests;
    sum.errors_client += one.errors_client;
    sum.errors_server += one.errors_server;
    sum.slowed_down += one.slowed_down;
    sum.received_bytes += one.received_bytes;
    sum.sent_bytes += one.sent_bytes;
    sum.in_flight += one.in_flight;
    sum.lifecycle_expired += one.lifecycle_expired;
    sum.lifecycle_removed += one.lifecycle_removed;
    sum.lifecycle_transitions += one.lifecycle_transitions;
    sum.lifecycle_aborted += one.lifecycle_aborted;
    for (const auto& [operation, count] : one.operations) sum.operations[operation] += count;
  }
  co_return sum;
}

Task<std::vector<PutTimes>> Server::recent_puts() {
  std::vector<PutTimes> all;
  for (unsigned i = 0; i < runtime_.size(); ++i) {
    auto copy = [](const Service& service) -> Task<std::vector<PutTimes>> { co_return service.recent_puts(); };
    auto one = co_await io::on(runtime_.shard(i), [this, i, copy] { return copy(*services_[i]); });
    all.insert(all.end(), std::make_move_iterator(one.begin()), std::make_move_iterator(one.end()));
  }
  co_return all;
}

Task<std::vector<AccessLine>> Server::access_tail() {
  std::vector<AccessLine> all;
  for (unsigned i = 0; i < runtime_.size(); ++i) {
    auto copy = [](const Service& service) -> Task<std::vector<AccessLine>> { co_return service.access_tail().lines(); };
    auto one = co_await io::on(runtime_.shard(i), [this, i, copy] { return copy(*services_[i]); });
    all.insert(all.end(), std::make_move_iterator(one.begin()), std::make_move_iterator(one.end()));
  }
  std::ranges::sort(all, {}, &AccessLine::at);
  co_return all;
}

}  // namespace polis::object
