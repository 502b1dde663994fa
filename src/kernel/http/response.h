// Response: what a handler answers. Set the status and the fields, then one of: send() a whole body, write() pieces and
// finish(), send_file(), error(). Every one of them applies back-pressure: it returns when the bytes are handed to the
// socket. A handler that returns after only setting a status sends an empty body; one that returns without any of this
// sends 500. A streamed body that is never finished closes the connection, so that the client sees it is cut.
//
// The carrier writes Date, Server, Content-Length, Transfer-Encoding and Connection. HEAD, 204 and 304 send no body
// bytes, whatever the handler sends: it need not know.
#pragma once

#include <bitset>
#include <optional>
#include <string>

#include "kernel/http/exchange.h"

namespace polis::http {

class Response {
 public:
  Response& status(int code);
  int status() const { return status_; }

  // Replaces every line of that name. A name that is no token, or a value with CR, LF, NUL or another control
  // character, is never sent: the response becomes a 500, because the text came from somewhere it was not checked.
  Response& set(Field id, std::string_view value) { return set(name(id), value); }
  Response& set(std::string_view name, std::string_view value);
  // One more line of that name, as Set-Cookie needs.
  Response& add(Field id, std::string_view value) { return add(name(id), value); }
  Response& add(std::string_view name, std::string_view value);
  Response& remove(Field id) { return remove(name(id)); }
  Response& remove(std::string_view name);
  bool has(Field id) const { return present_[static_cast<size_t>(id)]; }
  // The length of a body that is written in pieces (without it they go chunked, or until close to a 1.0 client), and of
  // the body that a HEAD or 304 does not send.
  Response& content_length(uint64_t size_bytes);
  // Close the connection after this response.
  Response& close();

  // The whole body. It must live until this returns.
  Task<Result<void>> send(BytesView body);
  Task<Result<void>> send(std::string_view body) { return send(as_bytes(body)); }
  Task<Result<void>> send() { return send(BytesView()); }
  // Sets Content-Type first.
  Task<Result<void>> send(std::string_view content_type, std::string_view body);

  // A piece of the body; the first one sends the head with it. Pieces beyond content_length() are kOutOfRange.
  Task<Result<void>> write(BytesView piece) { return exchange_->write_response(piece, false); }
  Task<Result<void>> write(std::string_view piece) { return write(as_bytes(piece)); }
  // Ends a body of pieces. kInvalid if fewer bytes than content_length() were written.
  Task<Result<void>> finish() { return exchange_->write_response({}, true); }
  // Sent after a chunked body, before finish(); dropped where the client cannot read them.
  Response& trailer(std::string_view name, std::string_view value);

  // A range of a file as the whole body, without copying where the socket allows it.
  Task<Result<void>> send_file(io::File& file, io::ByteRange range) { return exchange_->write_file(file, range); }

  // An error in the server's own form (application/problem+json unless its renderer says otherwise). Fields set before
  // are kept, but for those that describe a body. After the head is out this only closes the connection.
  Task<Result<void>> error(int status, std::string detail = {}) {
    return exchange_->write_error(status, std::move(detail));
  }
  Task<Result<void>> error(const Error& error);

  // 101 with the fields set before; the stream then belongs to the handler until it returns.
  Task<Result<Upgraded>> switch_protocols() { return exchange_->switch_protocols(); }

  // The head is on its way; status and fields are fixed.
  bool started() const { return started_; }
  bool finished() const { return finished_; }

  // --- for the carrier

  void begin(Exchange& exchange);
  void mark_started() { started_ = true; }
  void mark_finished() { finished_ = true; }
  bool status_set() const { return status_set_; }
  bool broken() const { return broken_; }
  bool close_asked() const { return close_; }
  void clear_body_fields(int error_status);
  void clear_broken();
  std::optional<uint64_t> content_length() const { return content_length_; }
  const std::string& lines() const { return lines_; }
  const std::string& trailer_lines() const { return trailer_lines_; }

 private:
  Exchange* exchange_ = nullptr;
  int status_ = 200;
  bool status_set_ = false, started_ = false, finished_ = false, broken_ = false, close_ = false;
  std::optional<uint64_t> content_length_;
  std::string lines_;  // "Name: value\r\n" as they will be sent; its memory is reused by the connection's next response
  std::string trailer_lines_;
  std::bitset<256> present_;
};

}  // namespace polis::http
