#include "kernel/http/static_files.h"

#include <sys/stat.h>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "kernel/http/conditional.h"
#include "kernel/http/date.h"
#include "kernel/http/range.h"
#include "kernel/http/uri.h"

namespace polis::http {
namespace {

struct MediaType {
  std::string_view extension, type;
};
constexpr MediaType kMediaTypes[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"webmanifest", "application/manifest+json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"otf", "font/otf"},
    {"wasm", "application/wasm"},
    {"pdf", "application/pdf"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"mp3", "audio/mpeg"},
    {"wav", "audio/wav"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"tar", "application/x-tar"},
    {"pbf", "application/x-protobuf"},
};

std::string_view extension_of(std::string_view name) {
  size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}

// The path below the root, or empty if it names nothing that may be served.
std::optional<std::string> safe_path(std::string_view raw, const std::string& index) {
  std::string path, rooted = "/" + std::string(raw);
  std::string_view rest = rooted, segment;
  while (next_path_segment(rest, segment)) {
    if (segment.empty()) {
      // Only a '/' at the end, which means the index.
      if (!rest.empty() || index.empty()) return std::nullopt;
      return path + "/" + index;
    }
    auto decoded = base::url_decode(segment);
    if (!decoded || decoded->empty() || decoded->front() == '.') return std::nullopt;
    if (decoded->find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) return std::nullopt;
    path.append("/").append(*decoded);
  }
  return path;
}

struct Found {
  std::unique_ptr<io::File> file;
  FileAnswer answer;
};

// kNotFound for whatever is no regular file.
Task<Result<Found>> open_regular(io::Disk& disk, std::string path) {
  Found found;
  found.file = CO_TRY(co_await disk.open(path, io::OpenMode::kRead));
  found.answer.size_bytes = CO_TRY(found.file->size());
  uint64_t stamp = 0;
  if (int descriptor = found.file->native_handle(); descriptor >= 0) {
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) co_return fail(system_error(errno, "fstat '" + path + "'"));
    if (!S_ISREG(status.st_mode)) co_return fail(Code::kNotFound, "'" + path + "' is no file");
    auto modified = std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
    found.answer.last_modified = WallTime(modified);
    stamp = static_cast<uint64_t>(modified.count());
  }
  char text[48];
  int length = std::snprintf(text, sizeof text, "\"%llx-%llx\"", static_cast<unsigned long long>(stamp),
                             static_cast<unsigned long long>(found.answer.size_bytes));
  found.answer.etag.assign(text, static_cast<size_t>(length));
  co_return found;
}

Task<Result<void>> send_multipart(Request& request, Response& response, io::File& file, const FileAnswer& answer,
                                  const RangeSet& set) {
  // The boundary may not occur in the file: 128 random bits.
  std::byte random[16];
  base::SystemRandom().fill(random);
  const std::string boundary = base::hex_encode(random);
  std::array<std::string, kRangesMax> heads;
  const std::string end = "\r\n--" + boundary + "--\r\n";
  uint64_t total = end.size();
  for (size_t i = 0; i < set.count; ++i) {
    heads[i].append("\r\n--").append(boundary).append("\r\nContent-Type: ").append(answer.content_type);
    heads[i].append("\r\nContent-Range: ").append(content_range(set.ranges[i], answer.size_bytes)).append("\r\n\r\n");
    total += heads[i].size() + set.ranges[i].size;
  }
  response.status(206).set(Field::kContentType, "multipart/byteranges; boundary=" + boundary).content_length(total);
  if (request.method() == Method::kHead) co_return co_await response.send();
  Bytes piece(64 * 1024);
  for (size_t i = 0; i < set.count; ++i) {
    CO_TRY(co_await response.write(heads[i]));
    io::ByteRange left = set.ranges[i];
    while (left.size != 0) {
      MutableBytes into = MutableBytes(piece).first(static_cast<size_t>(std::min<uint64_t>(left.size, piece.size())));
      size_t got = CO_TRY(co_await file.read_at(left.offset, into));
      if (got == 0) co_return fail(Code::kCorrupt, "file '" + file.path() + "' became shorter while it was sent");
      CO_TRY(co_await response.write(into.first(got)));
      left.offset += got;
      left.size -= got;
    }
  }
  CO_TRY(co_await response.write(end));
  co_return co_await response.finish();
}

}  // namespace

std::string_view media_type_of(std::string_view file_name) {
  std::string_view extension = extension_of(file_name);
  for (const MediaType& entry : kMediaTypes) {
    if (equal_ignoring_case(entry.extension, extension)) return entry.type;
  }
  return "application/octet-stream";
}

bool accepts_coding(const Fields& fields, std::string_view coding) {
  bool any = false;
  for (FieldLine line : fields) {
    if (line.id != Field::kAcceptEncoding) continue;
    std::string_view list = line.value, element;
    while (next_list_element(list, element)) {
      size_t semicolon = element.find(';');
      std::string_view name = trim_blanks(element.substr(0, semicolon));
      bool allowed = true;
      if (semicolon != std::string_view::npos) {
        std::string_view weight = trim_blanks(element.substr(semicolon + 1));
        // q=0, q=0.0, q=0.00, q=0.000
        if (weight.size() >= 3 && (weight[0] == 'q' || weight[0] == 'Q') && weight[1] == '=') {
          allowed = weight.find_first_not_of("0.", 2) != std::string_view::npos;
        }
      }
      if (equal_ignoring_case(name, coding)) return allowed;
      if (name == "*") any = allowed;
    }
  }
  return any;
}

Task<Result<void>> send_conditional_file(Request& request, Response& response, io::File& file, FileAnswer answer) {
  Validators validators{answer.etag, answer.last_modified, true};
  if (!answer.etag.empty()) response.set(Field::kEtag, answer.etag);
  if (answer.last_modified) response.set(Field::kLastModified, format_date(*answer.last_modified));
  switch (evaluate_preconditions(request.method(), request.fields(), validators)) {
    case Precondition::kNotModified:
      response.status(304);
      co_return co_await response.send();
    case Precondition::kFailed:
      co_return co_await response.error(412, "the file is not in the state that was asked for");
    case Precondition::kProceed:
      break;
  }
  response.set(Field::kAcceptRanges, "bytes").set(Field::kContentType, answer.content_type);
  RangeSet set;
  // Range is defined for GET alone (RFC 9110 §14.2).
  if (auto range = request.field(Field::kRange);
      range && request.method() == Method::kGet && range_allowed(request.fields(), validators)) {
    set = parse_range(*range, answer.size_bytes);
  }
  switch (set.outcome) {
    case RangeOutcome::kUnsatisfiable: {
      response.set(Field::kContentRange, unsatisfied_content_range(answer.size_bytes));
      co_return co_await response.error(416, "the file has " + std::to_string(answer.size_bytes) + " bytes");
    }
    case RangeOutcome::kPartial:
      if (set.count > 1) co_return co_await send_multipart(request, response, file, answer, set);
      response.status(206).set(Field::kContentRange, content_range(set.ranges[0], answer.size_bytes));
      co_return co_await response.send_file(file, set.ranges[0]);
    case RangeOutcome::kWhole:
      break;
  }
  response.status(200);
  co_return co_await response.send_file(file, {0, answer.size_bytes});
}

Task<Result<void>> StaticFiles::answer(Request& request, Response& response, std::string path) const {
  const std::string base = root_ + path;
  std::string_view prefix = options_.immutable_prefix;
  bool immutable = !prefix.empty() && std::string_view(path).substr(1).starts_with(prefix);
  struct Variant {
    std::string_view suffix, coding;
  };
  constexpr Variant kVariants[] = {{".br", "br"}, {".gz", "gzip"}, {"", ""}};
  std::optional<Found> found;
  std::string_view coding;
  for (const Variant& variant : kVariants) {
    if (!variant.coding.empty() && !accepts_coding(request.fields(), variant.coding)) continue;
    auto opened = co_await open_regular(disk_, base + std::string(variant.suffix));
    if (!opened && (opened.error().code() != Code::kNotFound || variant.coding.empty())) co_return fail(opened.error());
    if (!opened) continue;
    found = std::move(*opened);
    coding = variant.coding;
    break;
  }
  found->answer.content_type = media_type_of(path);
  if (!coding.empty()) {
    response.set(Field::kContentEncoding, coding);
    // The bytes differ by coding, so must the strong validator.
    found->answer.etag.insert(found->answer.etag.size() - 1, "-" + std::string(coding));
  }
  response.set(Field::kVary, "Accept-Encoding").set(Field::kXContentTypeOptions, "nosniff");
  response.set(Field::kCacheControl, immutable ? "public, max-age=31536000, immutable" : "no-cache");
  co_return co_await send_conditional_file(request, response, *found->file, std::move(found->answer));
}

Task<void> StaticFiles::serve(Request& request, Response& response, std::string_view raw_path) const {
  Result<void> sent;
  if (request.method() != Method::kGet && request.method() != Method::kHead) {
    response.set(Field::kAllow, "GET, HEAD");
    sent = co_await response.error(405, "files are only read here");
    co_return;
  }
  auto path = safe_path(raw_path, options_.index);
  if (path && path->empty()) path = "/" + options_.index;
  Result<void> answered = fail(Code::kNotFound, "no such file");
  if (path) answered = co_await answer(request, response, *path);
  bool missing = !answered && answered.error().code() == Code::kNotFound && !response.started();
  if (missing && path && options_.fall_back_to_index && extension_of(*path).empty()) {
    answered = co_await answer(request, response, "/" + options_.index);
  }
  // What failed after the head was sent has closed the connection already.
  if (answered || response.started()) co_return;
  bool hidden = answered.error().code() == Code::kNotFound || answered.error().code() == Code::kDenied;
  sent =
      hidden ? co_await response.error(404, "no such file") : co_await response.error(500, "the file cannot be read");
}

Handler StaticFiles::handler(std::string parameter) const {
  return [this, parameter = std::move(parameter)](Request& request, Response& response) {
    return serve(request, response, request.param(parameter));
  };
}

}  // namespace polis::http
