// Command: one verb of the command line, declared once. The declaration gives the parser, --help, the manual and the
// shell completion. Commands run in the process of the command line and reach a running polis through its API
// (DIR/run/polis.sock, or --url with --token); they never open the data directory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::systems {

struct Argument {
  std::string name;  // "bucket"
  std::string help;
  bool required = true;
  bool repeated = false;  // the last one may take all that follow
};

struct Flag {
  std::string name;  // "recursive": --recursive
  std::string help;
  std::string value;  // name of its value ("seconds"); empty for a switch
  std::string value_default;
  std::vector<std::string> choices;  // allowed values, for checking and completion; empty: any
  bool repeated = false;             // may be given often; the values stand one a line
};

// Speaks to the polis that is running.
class ApiClient {
 public:
  struct Response {
    int status = 0;
    std::string body;
    std::map<std::string, std::string> headers;  // lower-case names
  };
  virtual ~ApiClient() = default;
  // One request; an answer of at most 16 MiB in memory. An HTTP error status becomes an Error with the server's own
  // message.
  virtual Task<Result<Response>> request(std::string method, std::string target, std::string body = {},
                                         std::string content_type = "application/json") = 0;
  // Streams a local file as the request body / the answer's body into a local file. Reports progress to the terminal.
  virtual Task<Result<Response>> send_file(std::string method, std::string target, std::string path,
                                           std::string content_type) = 0;
  virtual Task<Result<Response>> receive_file(std::string target, std::string path) = 0;
  // Port of a listener by its full name ("object.s3"), from the running server.
  virtual Task<Result<uint16_t>> port(std::string name) = 0;
};

// Where answers go: text for people, or one JSON document with --json. Progress and remarks go to standard error.
class Output {
 public:
  virtual ~Output() = default;
  virtual bool json() const = 0;
  // A finished document: printed as it is under --json, else as an aligned table or list of "name: value".
  virtual void document(std::string_view json) = 0;
  virtual void table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) = 0;
  virtual void line(std::string_view text) = 0;  // silent under --json
  virtual void remark(std::string_view text) = 0;
  // A progress bar on a terminal, nothing elsewhere. done == total ends it.
  virtual void progress(std::string_view what, uint64_t done, uint64_t total) = 0;
};

struct Invocation {
  std::vector<std::string> arguments;        // in order; repeated ones at the end
  std::map<std::string, std::string> flags;  // given or defaulted; switches that are set hold "true"
  ApiClient& api;
  Output& output;

  bool has(const std::string& flag) const { return flags.contains(flag); }
  // Asks the server for a plan with this request, shows it, and applies it when --yes was given or the person agrees;
  // under
  // --json or without a terminal it prints the plan and asks for `polis apply ID`. Every command marked destructive
  // uses it.
  std::function<Task<Result<void>>(std::string method, std::string target, std::string body)> plan_and_apply;
};

struct Command {
  std::string name;  // "mb", or two words: "drive list"
  std::string help;  // one line
  std::vector<Argument> arguments;
  std::vector<Flag> flags;
  bool destructive = false;
  std::function<Task<Result<void>>(Invocation& call)> run;
};

}  // namespace polis::systems
