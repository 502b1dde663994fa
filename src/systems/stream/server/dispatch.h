// From the bytes of a request to the bytes of its response: header, decoding, the handler, encoding. Knows no socket.
#pragma once

#include <string>
#include <vector>

#include "systems/stream/server/call.h"

namespace polis::stream {

struct RequestHeader {
  int16_t api_key = 0, api_version = 0;
  int32_t correlation_id = 0;
  std::string_view client_id;  // of the frame
  BytesView body;
  const ApiVersions* api = nullptr;  // null: not one of ours, or a version that is not
};
// Of a frame without its size. kInvalid if it is none.
Result<RequestHeader> read_header(BytesView frame);
std::string_view api_name(int16_t api_key);  // "Produce"; "unknown"

// A response frame with its size; the bytes of the call's externals belong in at the splices.
struct Answer {
  Bytes bytes;
  std::vector<Splice> splices;
};

// An api or version that is not ours is answered with kUnsupportedVersion, and Call::close_after unless it is
// ApiVersions. kInvalid: the body is not what it should be; the connection is to be closed.
Task<Result<void>> dispatch(Call& call, const RequestHeader& header, Answer& answer);

}  // namespace polis::stream
