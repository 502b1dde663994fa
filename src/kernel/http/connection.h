// Connection: one HTTP/1 connection of a Server, from its first byte to its last; the coroutine shell around h1.h. Not
// for other folders.
//
//     buffer:  | consumed | head of the request (pinned) | body not read yet, next requests | free |
//              0          begin_                         unread_                            end_   capacity_
#pragma once

#include "kernel/http/deadline.h"
#include "kernel/http/server.h"

namespace polis::http {

class Connection final : public Exchange {
 public:
  Connection(Server& server, std::unique_ptr<io::Stream> stream);
  ~Connection();

  // Answers requests until the connection ends.
  Task<void> serve();
  // Ends a wait for the next request; running requests finish and then close.
  void drain();

  Task<Result<size_t>> read_body(MutableBytes into) override;
  const Fields& request_trailers() const override;
  Task<Result<void>> write_response(BytesView body, bool last) override;
  Task<Result<void>> write_file(io::File& file, io::ByteRange range) override;
  Task<Result<void>> write_error(int status, std::string detail) override;
  Task<Result<Upgraded>> switch_protocols() override;
  Task<Result<void>> peer_gone() override { return stream_->peer_gone(); }
  io::Stream& stream() override { return *stream_; }

 private:
  friend class Server;

  enum class HeadOutcome { kComplete, kRejected, kEnd };

  BytesView buffered() const { return {buffer_.get() + begin_, end_ - begin_}; }
  BytesView unread() const { return {buffer_.get() + unread_, end_ - unread_}; }
  void resize_buffer(size_t capacity);
  void make_room();
  // Waits for bytes behind end_; false at the end of the connection, with the reason in `read_end_`.
  Task<bool> receive(SteadyTime deadline);

  Task<HeadOutcome> read_head();
  void begin_exchange();
  Task<void> continue_without_body();
  Task<void> reject(h1::Rejection rejection);
  Task<Result<size_t>> read_sized_body(MutableBytes into);
  Task<Result<size_t>> read_chunked_body(MutableBytes into);
  // One wait for body bytes, at the least rate.
  Task<Result<size_t>> receive_body(MutableBytes into);
  std::unexpected<Error> body_failed(Code code, std::string message);
  bool worth_draining() const;
  Task<bool> drain_body();
  Task<void> linger();

  void compose_head(uint64_t body_size_bytes, bool last);
  Task<Result<void>> send_parts(std::span<const BytesView> parts);
  Task<void> conclude_response();
  void record_access();

  Server& server_;
  std::unique_ptr<io::Stream> stream_;
  Connection* previous_ = nullptr;
  Connection* next_ = nullptr;
  io::Scope* idle_scope_ = nullptr;  // of a wait for the next request
  Deadline read_deadline_, write_deadline_;

  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0, begin_ = 0, unread_ = 0, end_ = 0;
  Code read_end_ = Code::kClosed;

  h1::RequestParser parser_;
  h1::Rejection rejection_;
  Request request_;
  Response response_;
  std::string out_;  // head of the response, or of a chunk
  uint64_t requests_ = 0;

  // The request's body.
  std::unique_ptr<h1::ChunkDecoder> chunks_;  // made by the first chunked body
  uint64_t body_remaining_ = 0;               // of a sized body
  uint64_t body_received_ = 0;
  Duration body_waited_{};
  bool body_done_ = true;
  bool continue_pending_ = false;
  std::optional<Error> body_error_;

  // The response.
  bool have_head_ = false;  // the request's head was understood
  bool head_only_ = false;  // HEAD
  bool keep_alive_ = false;
  bool failed_ = false;  // the connection can carry no more bytes
  bool upgraded_ = false;
  Framing out_framing_ = Framing::kNone;
  uint64_t out_remaining_ = 0;
  uint64_t sent_bytes_ = 0;
  SteadyTime exchange_began_{};
  obs::Span span_;
};

}  // namespace polis::http
