// One client: requests in, responses out in the order of the requests. Lives on the shard that accepted it.
//
//     readable ─► read into a block ─► frame ─► header ─► may he? ─► dispatch.h ─► response, file ranges by sendfile
//
// A produce request makes room for the next one as soon as its batches have their places; their waits for the disk
// overlap, so that one connection with five requests under way shares the syncs. Everything else is handled alone, when
// the response before it is out; meanwhile nothing is read, and a client that sends more waits in its own socket.
//
// At rest a connection holds no buffer.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "kernel/io/pollable_stream.h"
#include "kernel/io/stream.h"
#include "kernel/obs/metrics.h"
#include "systems/stream/server/buffers.h"
#include "systems/stream/server/dispatch.h"

namespace polis::stream {

struct ServerOptions {
  size_t connections_max = 20'000;  // of the whole process; more wait to be accepted
  size_t frame_bytes_max = size_t{100} << 20;
  // Of requests of one connection under way; a single larger one is served alone.
  size_t held_bytes_max = size_t{64} << 20;
  // Of all requests larger than 16 KiB of the whole process.
  size_t memory_bytes_max = size_t{512} << 20;
  size_t pipelined_max = 64;                     // produce requests under way of one connection
  Duration idle_max = std::chrono::minutes(10);  // connections.max.idle.ms
  // For a request to arrive once it has begun, and for a response to leave: so much, and the time of its bytes at
  // rate_min.
  Duration transfer_max = std::chrono::seconds(30);
  size_t rate_min_bytes_per_second = 256 << 10;
  // File ranges of a response that are together no larger than this are copied: one write costs less than a sendfile
  // between two of them.
  size_t copy_bytes_max = 16 << 10;
  obs::Registry* metrics = nullptr;
};

// What is counted; any thread.
struct Metrics {
  explicit Metrics(obs::Registry& registry);
  obs::Counter* connections;
  obs::Counter* received_bytes;
  obs::Counter* sent_bytes;
  obs::Counter* broken;  // connections that were closed because of what they sent
  std::array<obs::Counter*, std::size(kApis)> requests{};
  obs::BucketHistogram* seconds;  // from the end of a request to its response
};

// What the connections of one shard share.
struct Shared {
  ServerParts& parts;
  const ServerOptions& options;
  Buffers buffers;
  Metrics* metrics = nullptr;
  bool draining = false;
};

class Connection {
 public:
  // The stream can be polled (kernel/io/pollable_stream.h), as all are over sockets and in the simulation.
  Connection(Shared& shared, std::unique_ptr<io::Stream> stream, std::shared_ptr<const Identity> identity,
             bool must_authenticate);
  ~Connection();

  // Until the client goes, sends what is no request, or the server drains.
  Task<void> serve();
  // Ends the connection as soon as the requests under way are answered.
  void drain();

 private:
  struct Frame {
    BytesView bytes;  // without the size
    Buffers::BlockPtr block;
  };
  // One request under way.
  struct Exchange;

  // Errors end the connection: kClosed for a regular end, kInvalid and kTimeout for clients that do not behave.
  Task<Result<Frame>> receive();
  Result<size_t> frame_bytes(BytesView begin) const;
  bool has_room(size_t bytes) const;
  [[gnu::noinline]] Task<Result<void>> make_room(size_t bytes);
  Task<Result<void>> wait_readable(size_t wanted_bytes);
  [[gnu::noinline]] Task<Result<void>> sit_out();
  Task<Result<void>> pause(Duration limit, Task<Result<void>> task);

  // Not inlined, as make_room(): else its frame of 4 KiB would be part of the one that a connection at rest stands in.
  [[gnu::noinline]] Task<Result<void>> handle(Frame frame);
  Task<Result<void>> handle_token(const Frame& frame);
  Task<Result<void>> handle_pipelined(std::unique_ptr<Exchange> exchange);
  Task<Result<void>> handle_alone(Exchange& exchange);
  Task<void> run_pipelined(Exchange& exchange);
  Task<Result<void>> answer(Exchange& exchange);
  Task<void> send_finished();
  Task<Result<void>> send(Exchange& exchange);
  Task<Result<void>> send_pieces(const Answer& answer, const std::vector<External>& externals);
  Task<Result<void>> send_copied(const Answer& answer, const std::vector<External>& externals, size_t external_bytes);
  Task<Result<void>> write(std::span<const BytesView> parts);
  Duration transfer_limit(uint64_t bytes) const;
  void count_fetched(const std::vector<External>& externals, bool copied);
  void fail_with(Error error);
  Task<void> watch_peer();

  Shared& shared_;
  std::unique_ptr<io::Stream> stream_;
  io::PollableStream& pollable_;
  Session session_;
  const SteadyTime since_;
  std::string client_id_;  // as it was told last: the same in every request of most clients

  Buffers::BlockPtr block_;     // null at rest
  size_t begin_ = 0, end_ = 0;  // received in the block, not yet consumed
  Bytes few_;                   // the same, of a client that stopped after a few bytes
  std::optional<SteadyTime> frame_since_;
  bool large_before_ = false;        // the last frame had a block of its own
  io::Scope* idle_scope_ = nullptr;  // of what may be given up for a drain

  std::deque<std::unique_ptr<Exchange>> under_way_;  // produce requests, by age
  uint64_t held_bytes_ = 0;
  io::Event left_;  // one of them is done
  bool sending_ = false;
  std::optional<SteadyTime> throttled_until_;
  std::optional<Error> broken_;
  bool reading_ends_ = false;
  io::TaskGroup* tasks_ = nullptr;  // of serve()
};

}  // namespace polis::stream
