#include "systems/object/tour.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fmt/format.h>
#include <map>

#include "kernel/base/clock.h"
#include "kernel/base/digest.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "kernel/http/client.h"
#include "systems/object/sigv4.h"

namespace polis::object {
namespace {

namespace json = boost::json;

constexpr uint64_t kMiB = uint64_t{1} << 20;
// Either side of every border of the layout: inline, packed, a row of its own, many rows.
constexpr uint64_t kSizes[] = {1,       2,       1000,    2048,     2049,     10'000,        65'536,   65'537,
                               200'000, 262'143, 262'144, kMiB + 1, 5 * kMiB, 16 * kMiB + 3, 64 * kMiB};
// Apart from those that files are numbered by.
constexpr uint64_t kKeptSeed = 1000, kRenameSeed = 2000;
constexpr uint64_t kPartSizes[] = {5 * kMiB, 6 * kMiB, 1'234'567};

Bytes make_content(uint64_t seed, uint64_t size_bytes) {
  base::SeededRandom random(seed);
  Bytes content(size_bytes);
  random.fill(content);
  return content;
}

std::string size_text(uint64_t size_bytes) {
  if (size_bytes < 10'000) return fmt::format("{} B", size_bytes);
  if (size_bytes < 10 * kMiB) return fmt::format("{:.1f} KiB", static_cast<double>(size_bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(size_bytes) / static_cast<double>(kMiB));
}

std::string between(std::string_view text, std::string_view begin, std::string_view end) {
  size_t from = text.find(begin);
  if (from == std::string_view::npos) return {};
  from += begin.size();
  size_t to = text.find(end, from);
  return to == std::string_view::npos ? std::string() : std::string(text.substr(from, to - from));
}

// Just enough of S3: signed requests to one server.
class S3Client {
 public:
  struct Answer {
    int status = 0;
    std::string etag;  // without quotes
    std::string version_id, encryption;
    Bytes body;
  };
  using Fields = std::vector<std::pair<std::string, std::string>>;  // names in lower case

  explicit S3Client(systems::Tour& tour)
      : identity_{.access_key = tour.access_key(),
                  .secret_key = tour.secret_key(),
                  .session_token = {},
                  .region = tour.region()} {
    url_.host = "127.0.0.1";
    url_.port = tour.port("object.s3");
  }

  // Any status; the caller judges.
  Task<Result<Answer>> request(std::string method, std::string target, BytesView body = {}, Fields fields = {}) {
    http::ClientRequest wanted;
    wanted.method = method;
    wanted.url = url_;
    wanted.url.target = target;
    wanted.body = body;
    wanted.timeout = std::chrono::minutes(2);
    std::string host = url_.authority();
    std::vector<HeaderView> headers = {{"host", host}};
    for (const auto& [name, value] : fields) {
      headers.push_back({name, value});
      wanted.fields.emplace_back(name, value);
    }
    for (OwnedHeader& header :
         sign({.method = method, .target = target, .headers = headers}, identity_, kUnsignedPayload, clock_.wall()))
      wanted.fields.emplace_back(std::move(header.name), std::move(header.value));
    auto got = CO_TRY(co_await client_.send(std::move(wanted)));
    Answer answer{.status = got.status(),
                  .etag = std::string(got.field(http::Field::kEtag).value_or("")),
                  .version_id = std::string(got.field("x-amz-version-id").value_or("")),
                  .encryption = std::string(got.field("x-amz-server-side-encryption").value_or("")),
                  .body = {}};
    std::erase(answer.etag, '"');
    answer.body = CO_TRY(co_await got.read_all(uint64_t{1} << 30));
    co_return answer;
  }

  // As request(), and any status but 2xx is an error in the server's words.
  Task<Result<Answer>> expect(std::string method, std::string target, BytesView body = {}, Fields fields = {}) {
    Answer answer = CO_TRY(co_await request(method, target, body, std::move(fields)));
    if (answer.status >= 200 && answer.status < 300) co_return answer;
    std::string message = between(as_text(answer.body), "<Message>", "</Message>");
    co_return fail(Code::kIo, fmt::format("{} {} answered {} {} {}", method, target, answer.status,
                                          between(as_text(answer.body), "<Code>", "</Code>"), message));
  }

 private:
  base::SystemClock clock_;
  SigningIdentity identity_;
  http::Url url_;
  http::Client client_;
};

// What was put: enough to make every byte again and compare.
struct File {
  std::string key;
  std::vector<std::pair<uint64_t, uint64_t>> pieces;  // seed, size: one, or one a part
  uint64_t size_bytes() const {
    uint64_t sum = 0;
    for (const auto& piece : pieces) sum += piece.second;
    return sum;
  }
  Bytes content() const {
    Bytes whole;
    whole.reserve(size_bytes());
    for (const auto& [seed, size] : pieces) {
      Bytes piece = make_content(seed, size);
      whole.insert(whole.end(), piece.begin(), piece.end());
    }
    return whole;
  }
};

class ObjectTour {
 public:
  explicit ObjectTour(systems::Tour& tour) : tour_(tour), client_(tour), bucket_(tour.unique_name()) {}

  Task<Result<void>> run() {
    Result<void> held = co_await steps();
    // Whatever happened, the drives come back; after a failure the bucket stays for whoever looks.
    for (unsigned index : lost_)
      (void)co_await tour_.api().request("POST", fmt::format("/api/object/v1/drives/{}/online", index));
    co_return held;
  }

 private:
  using Outcome = Task<Result<std::string>>;

  Task<Result<void>> step(std::string name, Outcome (ObjectTour::*what)()) {
    co_return co_await tour_.step(std::move(name), [this, what] { return (this->*what)(); });
  }

  Task<Result<void>> steps() {
    CO_TRY(co_await step("make a bucket", &ObjectTour::make_bucket));
    CO_TRY(co_await step("put files of 1 B to 64 MiB", &ObjectTour::put_files));
    CO_TRY(co_await step("upload in parts", &ObjectTour::put_multipart));
    CO_TRY(co_await step("read a range across parts", &ObjectTour::read_range));
    CO_TRY(co_await step("write only what is new", &ObjectTour::write_once));
    CO_TRY(co_await step("keep every version", &ObjectTour::keep_versions));
    CO_TRY(co_await step("hold what must not go", &ObjectTour::hold_version));
    CO_TRY(co_await step("encrypt on the server", &ObjectTour::encrypt));
    CO_TRY(co_await step("rename a folder at once", &ObjectTour::rename_folder));
    CO_TRY(co_await step("read everything", &ObjectTour::read_all));
    CO_TRY(co_await step("lose a drive, go on writing", &ObjectTour::lose_one));
    CO_TRY(co_await step("lose a second drive", &ObjectTour::lose_two));
    CO_TRY(co_await step("read everything without two drives", &ObjectTour::read_all));
    CO_TRY(co_await step("drives return, repair", &ObjectTour::repair));
    CO_TRY(co_await step("read everything, nothing rebuilt", &ObjectTour::read_all));
    CO_TRY(co_await step("durability", &ObjectTour::durability));
    co_return co_await step("remove what the tour made", &ObjectTour::clean_up);
  }

  std::string target(std::string_view key) const { return fmt::format("/{}/{}", bucket_, key); }

  Outcome make_bucket() {
    CO_TRY(co_await client_.expect("PUT", "/" + bucket_));
    co_return bucket_;
  }

  Task<Result<void>> put(uint64_t size_bytes) {
    File file{.key = fmt::format("file-{:02}", files_.size()), .pieces = {{next_seed_++, size_bytes}}};
    Bytes content = file.content();
    auto answer = CO_TRY(co_await client_.expect("PUT", target(file.key), content));
    if (answer.etag != base::hex_encode(base::md5(content)))
      co_return fail(Code::kCorrupt,
                     fmt::format("{}: the ETag {} is not the MD5 of what was sent", file.key, answer.etag));
    files_.push_back(std::move(file));
    co_return Result<void>();
  }

  Outcome put_files() {
    uint64_t total = 0;
    for (uint64_t size : kSizes) {
      CO_TRY(co_await put(size));
      total += size;
    }
    co_return fmt::format("{} files, {}, each durable before its answer, every ETag is the MD5", std::size(kSizes),
                          size_text(total));
  }

  Outcome put_multipart() {
    File file{.key = "in-parts", .pieces = {}};
    auto begun = CO_TRY(co_await client_.expect("POST", target(file.key) + "?uploads="));
    std::string upload = base::url_encode(between(as_text(begun.body), "<UploadId>", "</UploadId>"));
    std::string list;
    for (uint64_t size : kPartSizes) {
      file.pieces.emplace_back(next_seed_++, size);
      Bytes part = make_content(file.pieces.back().first, size);
      auto answer = CO_TRY(co_await client_.expect(
          "PUT", fmt::format("{}?partNumber={}&uploadId={}", target(file.key), file.pieces.size(), upload), part));
      list += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", file.pieces.size(), answer.etag);
    }
    std::string body = "<CompleteMultipartUpload>" + list + "</CompleteMultipartUpload>";
    auto done = CO_TRY(co_await client_.expect("POST", target(file.key) + "?uploadId=" + upload, as_bytes(body)));
    // The status leaves before the work is done: an error may stand in the body.
    if (as_text(done.body).find("<Error>") != std::string_view::npos)
      co_return fail(Code::kIo, std::string(as_text(done.body)));
    std::string outcome =
        fmt::format("{} parts, {}, completed without copying a byte", file.pieces.size(), size_text(file.size_bytes()));
    files_.push_back(std::move(file));
    co_return outcome;
  }

  Outcome read_range() {
    const File& file = files_.back();
    Bytes content = file.content();
    uint64_t begin = file.pieces[0].second - 1000, size = 2000;
    S3Client::Fields fields = {{"range", fmt::format("bytes={}-{}", begin, begin + size - 1)}};
    auto answer = CO_TRY(co_await client_.expect("GET", target(file.key), {}, std::move(fields)));
    if (answer.status != 206) co_return fail(Code::kIo, fmt::format("a range was answered with {}", answer.status));
    if (!std::ranges::equal(answer.body, BytesView(content).subspan(begin, size)))
      co_return fail(Code::kCorrupt, "the range has other bytes");
    co_return fmt::format("bytes {}-{}: the last 1000 of part 1 and the first 1000 of part 2", begin, begin + size - 1);
  }

  // Of two writers that must not overwrite each other one wins, and the other one knows.
  Outcome write_once() {
    S3Client::Fields fields = {{"if-none-match", "*"}};
    const File& file = files_.front();
    auto refused = CO_TRY(co_await client_.request("PUT", target(file.key), as_bytes("another"), fields));
    if (refused.status != 412)
      co_return fail(Code::kIo, fmt::format("a PUT with If-None-Match on an object answered {}", refused.status));
    co_return "a PUT with If-None-Match on an object that is there answers 412, and changes nothing";
  }

  std::string kept() const { return bucket_ + "-kept"; }
  std::string kept_target() const { return fmt::format("/{}/page", kept()); }
  std::string kept_target(std::string_view version) const {
    return fmt::format("{}?versionId={}", kept_target(), version);
  }

  // A bucket with object lock, and so with versions: what is overwritten or deleted is still there.
  Outcome keep_versions() {
    S3Client::Fields locked = {{"x-amz-bucket-object-lock-enabled", "true"}};
    CO_TRY(co_await client_.expect("PUT", "/" + kept(), {}, std::move(locked)));
    for (uint64_t size : {uint64_t{1000}, uint64_t{300'000}}) {
      Bytes content = make_content(kKeptSeed + kept_versions_.size(), size);
      kept_versions_.push_back(CO_TRY(co_await client_.expect("PUT", kept_target(), content)).version_id);
    }
    std::string marker = CO_TRY(co_await client_.expect("DELETE", kept_target())).version_id;
    kept_versions_.push_back(marker);
    auto gone = CO_TRY(co_await client_.request("GET", kept_target()));
    if (gone.status != 404) co_return fail(Code::kIo, fmt::format("a deleted object answered {}", gone.status));
    auto first = CO_TRY(co_await client_.expect("GET", kept_target(kept_versions_[0])));
    if (first.body != make_content(kKeptSeed, 1000))
      co_return fail(Code::kCorrupt, "the first version has other bytes");
    CO_TRY(co_await client_.expect("DELETE", kept_target(marker)));
    kept_versions_.pop_back();
    auto again = CO_TRY(co_await client_.expect("GET", kept_target()));
    if (again.body != make_content(kKeptSeed + 1, 300'000))
      co_return fail(Code::kCorrupt, "the version below the delete marker has other bytes");
    co_return "overwritten, deleted, and every version still there; without its delete marker the object is back";
  }

  Outcome hold_version() {
    auto hold = [](std::string_view status) {
      return fmt::format("<LegalHold><Status>{}</Status></LegalHold>", status);
    };
    std::string at = kept_target(kept_versions_[0]) + "&legal-hold=";
    std::string on = hold("ON"), off = hold("OFF");
    CO_TRY(co_await client_.expect("PUT", at, as_bytes(on)));
    auto refused = CO_TRY(co_await client_.request("DELETE", kept_target(kept_versions_[0])));
    if (refused.status != 403)
      co_return fail(Code::kIo, fmt::format("removing a version on legal hold answered {}", refused.status));
    CO_TRY(co_await client_.expect("PUT", at, as_bytes(off)));
    CO_TRY(co_await client_.expect("DELETE", kept_target(kept_versions_[0])));
    kept_versions_.erase(kept_versions_.begin());
    co_return "a version on legal hold cannot be removed, not even by root; without the hold it can";
  }

  Outcome encrypt() {
    File file{.key = "secret", .pieces = {{next_seed_++, kMiB + 17}}};
    Bytes content = file.content();
    S3Client::Fields fields = {{"x-amz-server-side-encryption", "AES256"}};
    CO_TRY(co_await client_.expect("PUT", target(file.key), content, std::move(fields)));
    S3Client::Fields range = {{"range", "bytes=65530-65545"}};
    auto answer = CO_TRY(co_await client_.expect("GET", target(file.key), {}, std::move(range)));
    if (answer.encryption != "AES256") co_return fail(Code::kIo, "the object does not say that it is encrypted");
    if (!std::ranges::equal(answer.body, BytesView(content).subspan(65530, 16)))
      co_return fail(Code::kCorrupt, "a range across two packets has other bytes");
    files_.push_back(std::move(file));
    co_return "AES-256-GCM in packets of 64 KiB; a range across two of them is right";
  }

  Outcome rename_folder() {
    constexpr int kFiles = 3;
    for (int at = 0; at < kFiles; ++at)
      CO_TRY(co_await client_.expect("PUT", target(fmt::format("draft/{}", at)), make_content(kRenameSeed + at, 5000)));
    S3Client::Fields fields = {{"x-amz-rename-source", fmt::format("/{}/draft/", bucket_)}};
    CO_TRY(co_await client_.expect("PUT", target("final/") + "?renameObject=prefix", {}, std::move(fields)));
    for (int at = 0; at < kFiles; ++at) {
      auto old = CO_TRY(co_await client_.request("GET", target(fmt::format("draft/{}", at))));
      if (old.status != 404) co_return fail(Code::kIo, fmt::format("the old name answered {}", old.status));
      files_.push_back({.key = fmt::format("final/{}", at), .pieces = {{kRenameSeed + at, 5000}}});
    }
    co_return fmt::format("{} objects from draft/ to final/ in one transaction, no byte copied", kFiles);
  }

  Outcome read_all() {
    uint64_t degraded = CO_TRY(co_await blob_counter("degraded_reads"));
    uint64_t total = 0;
    for (const File& file : files_) {
      auto answer = CO_TRY(co_await client_.expect("GET", target(file.key)));
      if (answer.body != file.content())
        co_return fail(Code::kCorrupt, fmt::format("{}: other bytes came back", file.key));
      total += answer.body.size();
    }
    degraded = CO_TRY(co_await blob_counter("degraded_reads")) - degraded;
    if (lost_.empty() && degraded > 0)
      co_return fail(Code::kCorrupt,
                     fmt::format("{} reads had to be rebuilt from parity with all drives there", degraded));
    co_return fmt::format("{} files, {}, every byte equal, {} reads rebuilt from parity", files_.size(),
                          size_text(total), degraded);
  }

  Outcome lose_one() {
    CO_TRY(co_await kill_drive(1));
    for (uint64_t size : {uint64_t{1500}, uint64_t{100'000}, 3 * kMiB}) CO_TRY(co_await put(size));
    co_return "drive 1 is out; 3 more files are durable on the five others";
  }

  Outcome lose_two() {
    CO_TRY(co_await kill_drive(4));
    // An inline object needs no drive: ask with one that does.
    Bytes content = make_content(next_seed_, 300'000);
    auto answer = CO_TRY(co_await client_.request("PUT", target("refused"), content));
    if (answer.status != 503)
      co_return fail(Code::kIo,
                     fmt::format("a write that could not be made safe was answered with {}, not 503", answer.status));
    co_return "drive 4 is out too; a new write is refused with 503: it could not be made safe";
  }

  Outcome repair() {
    for (unsigned index : std::exchange(lost_, {}))
      CO_TRY(co_await tour_.api().request("POST", fmt::format("/api/object/v1/drives/{}/online", index)));
    CO_TRY(co_await tour_.api().request("POST", "/api/object/v1/jobs/repair"));
    for (;;) {
      auto answer = CO_TRY(co_await tour_.api().request("GET", "/api/object/v1/jobs"));
      json::value jobs = CO_TRY(parse(answer.body));
      for (const json::value& job : jobs.at("jobs").as_array()) {
        if (job.at("kind").as_string() != "repair" || job.at("running").as_bool()) continue;
        if (const json::value* error = job.as_object().if_contains("error"))
          co_return fail(Code::kIo, std::string(error->as_string()));
        const json::value& report = job.at("report");
        if (report.at("rows_lost").to_number<uint64_t>() > 0)
          co_return fail(Code::kCorrupt, "repair could not bring every row back");
        co_return fmt::format("{} rows checked, {} units rebuilt, none lost",
                              report.at("rows_checked").to_number<uint64_t>(),
                              report.at("units_rebuilt").to_number<uint64_t>());
      }
      CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(20)));
    }
  }

  Outcome durability() {
    auto answer = CO_TRY(co_await tour_.api().request("GET", "/api/object/v1/durability?repair_hours=8.5"));
    json::value value = CO_TRY(parse(answer.body));
    const json::value& assumed = value.at("assumptions");
    // The repair just seen was of a few megabytes: the figure is for full drives, so their repair time is assumed.
    co_return fmt::format(
        "{:.2f} nines a year for {}+{}, assuming {:.2f} % of drives fail a year, each alone, each repaired within "
        "{:.3g} h",
        value.at("nines").to_number<double>(), assumed.at("data_units").to_number<int>(),
        assumed.at("parity_units").to_number<int>(), assumed.at("annual_failure_rate").to_number<double>() * 100,
        assumed.at("repair_hours").to_number<double>());
  }

  Outcome clean_up() {
    for (const File& file : files_) CO_TRY(co_await client_.expect("DELETE", target(file.key)));
    CO_TRY(co_await client_.expect("DELETE", "/" + bucket_));
    for (const std::string& version : kept_versions_) CO_TRY(co_await client_.expect("DELETE", kept_target(version)));
    CO_TRY(co_await client_.expect("DELETE", "/" + kept()));
    co_return fmt::format("{} objects and two buckets", files_.size() + kept_versions_.size());
  }

  Task<Result<void>> kill_drive(unsigned index) {
    auto planned = CO_TRY(co_await tour_.api().request("POST", fmt::format("/api/object/v1/drives/{}/kill", index)));
    json::value plan = CO_TRY(parse(planned.body));
    CO_TRY(co_await tour_.api().request("POST", "/api/plan/v1/" + std::string(plan.at("id").as_string())));
    lost_.push_back(index);
    co_return Result<void>();
  }

  Task<Result<uint64_t>> blob_counter(std::string name) {
    auto answer = CO_TRY(co_await tour_.api().request("GET", "/api/object/v1/status"));
    json::value status = CO_TRY(parse(answer.body));
    co_return status.at("blob").at(name).to_number<uint64_t>();
  }

  static Result<json::value> parse(std::string_view text) {
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    if (error || !value.is_object()) return fail(Code::kCorrupt, "polis answered something that is not a JSON object");
    return value;
  }

  systems::Tour& tour_;
  S3Client client_;
  std::string bucket_;
  std::vector<File> files_;
  std::vector<std::string> kept_versions_;  // of the one key of the second bucket
  std::vector<unsigned> lost_;
  uint64_t next_seed_ = 1;
};

}  // namespace

Task<Result<void>> take_tour(systems::Tour& tour) {
  ObjectTour object_tour(tour);
  co_return co_await object_tour.run();
}

}  // namespace polis::object
