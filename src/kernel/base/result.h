// Result and Error: how every operation in polis that can fail says so. Operating errors are values; broken invariants are
// POLIS_ASSERT and end the process. Values only, usable on any shard and any thread.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace polis::base {

// What went wrong, in the words that callers branch on. A protocol maps these to its own codes at the edge.
enum class Code : unsigned char {
  kInvalid,           // the input breaks a rule; repeating it cannot help
  kNotFound,          // the named thing does not exist
  kExists,            // the named thing exists already
  kConflict,          // a concurrent change won; read again and retry
  kVersionMismatch,   // a version condition does not hold
  kUnauthenticated,   // nobody proved who they are
  kDenied,            // known, but without the right
  kTooLarge,          // a documented limit is exceeded
  kOutOfRange,        // a position or range lies outside what exists
  kBusy,              // a queue or budget is full; try later
  kTimeout,           // the deadline passed
  kCancelled,         // the task group was stopped
  kClosed,            // the peer or the owner closed it; also the regular end of a stream
  kReadOnly,          // writing is switched off here
  kCorrupt,           // stored or received bytes fail their check
  kNoSpace,           // the disk or quota is full
  kIo,                // the operating system refused; the message names the call
  kUnavailable,       // a part that is needed is down
  kUnsupported,       // known, but not offered here
};

std::string_view name(Code code);

// Code, a message for a person (what was tried, on what, what to do) and the error below it, if any.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Error(Code code, std::string message, Error cause)
      : code_(code), message_(std::move(message)), cause_(std::make_shared<const Error>(std::move(cause))) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // Null at the root. Shared because an Error is copied when one failure answers many waiters.
  const Error* cause() const { return cause_.get(); }
  // "message: cause: cause of the cause"
  std::string text() const;

 private:
  Code code_;
  std::string message_;
  std::shared_ptr<const Error> cause_;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected<Error>(std::in_place, code, std::move(message));
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

// The errno of a failed system call as an Error: ENOENT is kNotFound, EEXIST kExists, ENOSPC and EDQUOT kNoSpace, ECONNRESET and
// EPIPE kClosed, EACCES and EPERM kDenied, ETIMEDOUT kTimeout, everything else kIo.
Error system_error(int error_number, std::string_view what);

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace polis::base

namespace polis {
using base::Code;
using base::Error;
using base::fail;
using base::Result;
using base::system_error;
}  // namespace polis

#define POLIS_CONCAT_INNER(a, b) a##b
#define POLIS_CONCAT(a, b) POLIS_CONCAT_INNER(a, b)

#define POLIS_TRY_AS(result, leave, expr)                                       \
  ({                                                                            \
    auto&& result = (expr);                                                     \
    if (!result.has_value()) [[unlikely]]                                       \
      leave ::std::unexpected<::polis::base::Error>(std::move(result).error()); \
    std::move(result).value();                                                  \
  })

// Unwraps a Result, or returns its Error from the enclosing function (TRY) or coroutine (CO_TRY). Never inside a new-expression:
// the allocation would leak on the error path.
#define TRY(...) POLIS_TRY_AS(POLIS_CONCAT(try_result_, __COUNTER__), return, (__VA_ARGS__))
#define CO_TRY(...) POLIS_TRY_AS(POLIS_CONCAT(try_result_, __COUNTER__), co_return, (__VA_ARGS__))

// A broken invariant: on in release builds, because wrong data must never be served.
#define POLIS_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::polis::base::assertion_failed(#expression, __FILE__, __LINE__))
