// Static files: a directory on the Disk as a tree of URLs. Conditional requests, ranges (several of them as
// multipart/byteranges), precompressed siblings (`app.js.br`, `app.js.gz`) by Accept-Encoding. One instance serves all
// shards; it keeps no state.
//
// A path leaves the directory never: it is split before it is decoded, and a segment that is "." or "..", begins with
// '.', or holds
// '/', '\' or NUL after decoding is not found. Links inside the directory are followed: who may write there, may point
// elsewhere.
#pragma once

#include <string>

#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "kernel/http/router.h"

namespace polis::http {

struct StaticOptions {
  std::string index = "index.html";  // for paths that end in '/'; empty: none
  // Answer the index for paths without a file and without an extension, as one-page applications want it.
  bool fall_back_to_index = false;
  // Files below this path carry a hash in their names and are cached for a year; "assets/". Everything else is
  // revalidated.
  std::string immutable_prefix;
};

class StaticFiles {
 public:
  // `root` without a '/' at its end. The disk outlives this.
  StaticFiles(io::Disk& disk, std::string root, StaticOptions options = {})
      : disk_(disk), root_(std::move(root)), options_(std::move(options)) {}

  // GET and HEAD of `raw_path`, relative to the root, not yet decoded: what a route's {path...} gave. Other methods are
  // 405.
  Task<void> serve(Request& request, Response& response, std::string_view raw_path) const;
  // As a route's handler: `router.any("/console/{path...}", files.handler("path"))`. The StaticFiles outlives it.
  Handler handler(std::string parameter) const;

 private:
  Task<Result<void>> answer(Request& request, Response& response, std::string path) const;

  io::Disk& disk_;
  std::string root_;
  StaticOptions options_;
};

// One open file as the answer to a GET or HEAD: validators, conditions, ranges. Status and Content-Type are set here;
// fields that the caller set before are kept. `last_modified` is empty where the disk does not know it.
struct FileAnswer {
  std::string content_type;
  std::string etag;  // quoted
  std::optional<WallTime> last_modified;
  uint64_t size_bytes = 0;
};
Task<Result<void>> send_conditional_file(Request& request, Response& response, io::File& file, FileAnswer answer);

// By the extension of the name; "application/octet-stream" for an unknown one. Text types say charset=utf-8.
std::string_view media_type_of(std::string_view file_name);
// Does Accept-Encoding allow the coding ("br", "gzip")? q=0 forbids it.
bool accepts_coding(const Fields& fields, std::string_view coding);

}  // namespace polis::http
