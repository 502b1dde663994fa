#include "systems/object/tour.h"

#include <boost/json.hpp>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "kernel/http/client.h"
#include "kernel/io/shard.h"
#include "systems/object/sigv4.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

namespace json = boost::json;
using Step = Task<Result<std::string>>;

constexpr uint64_t kAnswerBytesMax = uint64_t{80} << 20;
constexpr size_t kPartBytes = size_t{8} << 20;

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

// A client as others write one: signs with the root's key, keeps its connection.
class S3 {
 public:
  S3(systems::Tour& tour)
      : tour_(tour), host_("127.0.0.1:" + std::to_string(tour.port("object.s3"))) {}

  struct Response {
    int status = 0;
    Bytes body;
    std::string etag;
  };
  // Any status but `expected` is an error with the server's own words.
  Task<Result<Response>> call(std::string method, std::string target, BytesView body, int expected, std::string range = {}) {
    std::vector<HeaderView> headers = {{"host", host_}};
    SigningIdentity identity{.access_key = tour_.access_key(), .secret_key = tour_.secret_key(), .region = tour_.region()};
    RequestView view{.method = method, .target = target, .headers = headers};
    http::ClientRequest request{.method = method, .url = CO_TRY(http::Url::parse("http://" + host_ + target)), .body = body, .timeout = std::chrono::seconds(60)};
    for (OwnedHeader& header : sign(view, identity, kUnsignedPayload, io::Shard::current().clock().wall()))
      request.fields.emplace_back(std::move(header.name), std::move(header.value));
    if (!range.empty()) request.fields.emplace_back("Range", range);
    auto answer = CO_TRY(co_await client_.send(std::move(request)));
    Response response{.status = answer.status(), .etag = std::string(answer.field("ETag").value_or(""))};
    response.body = CO_TRY(co_await answer.read_all(kAnswerBytesMax));
    if (response.status != expected) {
      auto error = parse_xml(as_text(response.body));
      std::string why = error ? std::string(error->text_of("Code")) + ": " + std::string(error->text_of("Message")) : "";
      co_return fail(Code::kIo, method + " " + target.substr(0, target.find('?')) + " answered " + std::to_string(response.status) + " " + why);
    }
    co_return response;
  }

 private:
  systems::Tour& tour_;
  std::string host_;
  http::Client client_;
};

struct Stored {
  std::string key;
  Bytes bytes;
};

class ObjectTour {
 public:
  explicit ObjectTour(systems::Tour& tour) : tour_(tour), s3_(tour), bucket_("/" + tour.unique_name()) {}

  Task<Result<void>> take() {
    CO_TRY(co_await tour_.step("make a bucket", [this] { return make_bucket(); }));
    CO_TRY(co_await tour_.step("put objects of 1 B to 64 MiB", [this] { return put_objects(); }));
    CO_TRY(co_await tour_.step("upload in parts", [this] { return multipart(); }));
    CO_TRY(co_await tour_.step("read a range across parts", [this] { return read_range(); }));
    CO_TRY(co_await tour_.step("list them", [this] { return list(); }));
    CO_TRY(co_await tour_.step("lose two of six drives", [this] { return lose_drives(); }));
    auto read = co_await tour_.step("read everything back", [this] { return read_all(); });
    // Whatever happened, the drives come back.
    CO_TRY(co_await tour_.step("bring the drives back and repair", [this] { return repair(); }));
    CO_TRY(std::move(read));
    CO_TRY(co_await tour_.step("durability, and what it assumes", [this] { return durability(); }));
    CO_TRY(co_await tour_.step("remove what was made", [this] { return clean(); }));
    co_return Result<void>();
  }

 private:
  Step make_bucket() {
    CO_TRY(co_await s3_.call("PUT", bucket_, {}, 200));
    co_return "bucket " + bucket_.substr(1);
  }

  Step put_objects() {
    uint64_t total = 0;
    for (size_t size : {size_t{1}, size_t{100}, size_t{2048}, size_t{2049}, size_t{65'536}, size_t{262'144}, size_t{1} << 20, size_t{64} << 20}) {
      Stored object{.key = "file-" + std::to_string(size), .bytes = Bytes(size)};
      random_.fill(object.bytes);
      CO_TRY(co_await s3_.call("PUT", bucket_ + "/" + object.key, object.bytes, 200));
      total += size;
      objects_.push_back(std::move(object));
    }
    co_return std::to_string(objects_.size()) + " objects, " + megabytes(total) + ", each on disk before its answer";
  }

  Step multipart() {
    Stored object{.key = "in-parts", .bytes = Bytes(2 * kPartBytes + 12'345)};
    random_.fill(object.bytes);
    auto begun = CO_TRY(co_await s3_.call("POST", bucket_ + "/" + object.key + "?uploads=", {}, 200));
    auto xml = parse_xml(as_text(begun.body));
    if (!xml) co_return fail(Code::kCorrupt, "the answer is no XML");
    std::string id(xml->text_of("UploadId"));
    std::vector<std::string> etags;
    for (size_t offset = 0; offset < object.bytes.size(); offset += kPartBytes) {
      BytesView part = BytesView(object.bytes).subspan(offset, std::min(kPartBytes, object.bytes.size() - offset));
      std::string target = bucket_ + "/" + object.key + "?partNumber=" + std::to_string(etags.size() + 1) + "&uploadId=" + id;
      etags.push_back(CO_TRY(co_await s3_.call("PUT", target, part, 200)).etag);
    }
    XmlWriter list("CompleteMultipartUpload");
    for (size_t i = 0; i < etags.size(); ++i) list.open("Part").element("PartNumber", uint64_t{i + 1}).element("ETag", etags[i]).close();
    std::string document = list.finish();
    CO_TRY(co_await s3_.call("POST", bucket_ + "/" + object.key + "?uploadId=" + id, as_bytes(document), 200));
    std::string what = std::to_string(etags.size()) + " parts, " + megabytes(object.bytes.size()) + ", completed without copying a byte";
    objects_.push_back(std::move(object));
    co_return what;
  }

  Step read_range() {
    const Stored& object = objects_.back();
    size_t first = kPartBytes - 1000, count = 2000;
    std::string range = "bytes=" + std::to_string(first) + "-" + std::to_string(first + count - 1);
    auto answer = CO_TRY(co_await s3_.call("GET", bucket_ + "/" + object.key, {}, 206, range));
    if (!std::ranges::equal(answer.body, BytesView(object.bytes).subspan(first, count))) co_return fail(Code::kCorrupt, "the bytes differ");
    co_return "2,000 bytes across a part's border, every byte equal";
  }

  Step list() {
    auto answer = CO_TRY(co_await s3_.call("GET", bucket_ + "?list-type=2", {}, 200));
    auto xml = parse_xml(as_text(answer.body));
    if (!xml) co_return fail(Code::kCorrupt, "the answer is no XML");
    if (xml->text_of("KeyCount") != std::to_string(objects_.size())) co_return fail(Code::kCorrupt, "it lists " + std::string(xml->text_of("KeyCount")));
    co_return std::to_string(objects_.size()) + " keys";
  }

  Step lose_drives() {
    for (const char* drive : {"1", "4"}) {
      auto planned = CO_TRY(co_await tour_.api().request("POST", std::string("/api/object/v1/drives/") + drive + "/kill"));
      std::string id(json::parse(planned.body).at("id").as_string());
      CO_TRY(co_await tour_.api().request("POST", "/api/plan/v1/" + id));
    }
    co_return "drives 1 and 4 are out of service";
  }

  Step read_all() {
    uint64_t total = 0;
    for (const Stored& object : objects_) {
      auto answer = CO_TRY(co_await s3_.call("GET", bucket_ + "/" + object.key, {}, 200));
      if (answer.body != object.bytes) co_return fail(Code::kCorrupt, object.key + " came back different");
      total += answer.body.size();
    }
    co_return std::to_string(objects_.size()) + " objects, " + megabytes(total) + ", every byte equal";
  }

  Step repair() {
    for (const char* drive : {"1", "4"}) CO_TRY(co_await tour_.api().request("POST", std::string("/api/object/v1/drives/") + drive + "/online"));
    CO_TRY(co_await tour_.api().request("POST", "/api/object/v1/jobs/repair"));
    for (;;) {
      auto answer = CO_TRY(co_await tour_.api().request("GET", "/api/object/v1/jobs"));
      for (const json::value& job : json::parse(answer.body).at("jobs").as_array()) {
        if (job.at("kind").as_string() != "repair" || job.at("running").as_bool()) continue;
        if (const json::value* error = job.as_object().if_contains("error")) co_return fail(Code::kIo, std::string(error->as_string()));
        const json::object& report = job.at("report").as_object();
        if (report.at("rows_lost").to_number<uint64_t>() > 0) co_return fail(Code::kCorrupt, "rows were lost");
        co_return std::to_string(report.at("rows_checked").to_number<uint64_t>()) + " rows checked, " +
            std::to_string(report.at("units_rebuilt").to_number<uint64_t>()) + " units rebuilt, none lost";
      }
      CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(50)));
    }
  }

  Step durability() {
    auto answer = CO_TRY(co_await tour_.api().request("GET", "/api/object/v1/durability?repair_hours=156"));
    char text[160];
    std::snprintf(text, sizeof text, "%.2f nines a year: 4+2, drives fail independently at 0.81 %%, repair takes 6.5 days",
                  json::parse(answer.body).at("nines").to_number<double>());
    co_return std::string(text);
  }

  Step clean() {
    for (const Stored& object : objects_) CO_TRY(co_await s3_.call("DELETE", bucket_ + "/" + object.key, {}, 204));
    CO_TRY(co_await s3_.call("DELETE", bucket_, {}, 204));
    co_return std::to_string(objects_.size()) + " objects and their bucket";
  }

  systems::Tour& tour_;
  S3 s3_;
  std::string bucket_;
  std::vector<Stored> objects_;
  base::SystemRandom random_;
};

}  // namespace

Task<Result<void>> take_tour(systems::Tour& tour) {
  ObjectTour object(tour);
  co_return co_await object.take();
}

}  // namespace polis::object
