// One request and its response on whatever carries them: what Request and Response ask of a connection. HTTP/1 is the
// first carrier; handlers never see this.
#pragma once

#include <memory>
#include <span>

#include "kernel/http/message.h"
#include "kernel/io/file.h"
#include "kernel/io/stream.h"
#include "kernel/io/task.h"

namespace polis::http {

class Request;
class Response;

// What remains of a connection after 101: bytes that came behind the request, then the stream. Borrowed until the
// handler returns.
struct Upgraded {
  io::Stream* stream = nullptr;
  BytesView received;
  // Whoever waits for the peer without owing it anything puts its scope here meanwhile: a draining server stops it.
  io::Scope** drain_scope = nullptr;
  const bool* draining = nullptr;
};

class Exchange {
 public:
  virtual Task<Result<size_t>> read_body(MutableBytes into) = 0;
  virtual const Fields& request_trailers() const = 0;
  // Writes the head, if it is not out yet, and `body`; `last` ends the response.
  virtual Task<Result<void>> write_response(BytesView body, bool last) = 0;
  virtual Task<Result<void>> write_file(io::File& file, io::ByteRange range) = 0;
  // The error document of the server's renderer, as a whole response.
  virtual Task<Result<void>> write_error(int status, std::string detail) = 0;
  virtual Task<Result<Upgraded>> switch_protocols() = 0;
  virtual Task<Result<void>> peer_gone() = 0;
  virtual io::Stream& stream() = 0;

 protected:
  ~Exchange() = default;
};

}  // namespace polis::http
