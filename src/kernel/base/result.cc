#include "kernel/base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace polis::base {

std::string_view name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not found";
    case Code::kExists: return "exists";
    case Code::kConflict: return "conflict";
    case Code::kVersionMismatch: return "version mismatch";
    case Code::kUnauthenticated: return "unauthenticated";
    case Code::kDenied: return "denied";
    case Code::kTooLarge: return "too large";
    case Code::kOutOfRange: return "out of range";
    case Code::kBusy: return "busy";
    case Code::kTimeout: return "timeout";
    case Code::kCancelled: return "cancelled";
    case Code::kClosed: return "closed";
    case Code::kReadOnly: return "read only";
    case Code::kCorrupt: return "corrupt";
    case Code::kNoSpace: return "no space";
    case Code::kIo: return "i/o";
    case Code::kUnavailable: return "unavailable";
    case Code::kUnsupported: return "unsupported";
  }
  return "unknown";
}

std::string Error::text() const {
  std::string out = message_;
  for (const Error* below = cause(); below; below = below->cause()) out.append(": ").append(below->message());
  return out;
}

Error system_error(int error_number, std::string_view what) {
  auto code = [&] {
    switch (error_number) {
      case ENOENT: return Code::kNotFound;
      case EEXIST: return Code::kExists;
      case ENOSPC:
      case EDQUOT: return Code::kNoSpace;
      case ECONNRESET:
      case EPIPE: return Code::kClosed;
      case EACCES:
      case EPERM: return Code::kDenied;
      case ETIMEDOUT: return Code::kTimeout;
      case ECONNREFUSED: return Code::kUnavailable;
      case EROFS: return Code::kReadOnly;
      default: return Code::kIo;
    }
  }();
  char buffer[128];
  return Error(code, std::string(what) + ": " + strerror_r(error_number, buffer, sizeof buffer));
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "polis: broken invariant: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace polis::base
