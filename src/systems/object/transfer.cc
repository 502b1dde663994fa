// Moving bytes: from a connection or another object into the Blob, and from wherever a version keeps them to a sink.
#include <algorithm>

#include "systems/object/service.h"

namespace polis::object {
namespace {

// Bytes that were read ahead to see whether there are more than fit inline, then the rest.
class PrefixedSource final : public blob::ByteSource {
 public:
  PrefixedSource(BytesView head, blob::ByteSource& rest) : head_(head), rest_(rest) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    size_t count = std::min(head_.size(), into.size());
    std::memcpy(into.data(), head_.data(), count);
    head_ = head_.subspan(count);
    if (count == into.size()) co_return count;
    size_t more = CO_TRY(co_await rest_.read(into.subspan(count)));
    co_return count + more;
  }

 private:
  BytesView head_;
  blob::ByteSource& rest_;
};

class MemorySink final : public blob::ByteSink {
 public:
  explicit MemorySink(MutableBytes into) : into_(into) {}
  Task<Result<void>> write(BytesView bytes) override {
    if (bytes.size() > into_.size()) co_return fail(Code::kOutOfRange, "more bytes than were asked for");
    std::memcpy(into_.data(), bytes.data(), bytes.size());
    into_ = into_.subspan(bytes.size());
    co_return Result<void>();
  }
  size_t missing() const { return into_.size(); }

 private:
  MutableBytes into_;
};

}  // namespace

// A range of a stored version as a source, hashed on its way.
class VersionSource final : public blob::ByteSource {
 public:
  VersionSource(Service& service, const ObjectVersion& version, std::string_view inlined_bytes, blob::Range range,
                ChecksumAlgorithm algorithm)
      : service_(service), version_(version), inlined_bytes_(inlined_bytes), range_(range) {
    if (algorithm != ChecksumAlgorithm::kNone) checksummer_.emplace(algorithm);
  }

  Task<Result<size_t>> read(MutableBytes into) override {
    size_t count = std::min<uint64_t>(into.size(), range_.size);
    if (count == 0) co_return size_t{0};
    MutableBytes piece = into.first(count);
    MemorySink sink(piece);
    auto sent = co_await service_.send_range(version_, inlined_bytes_, {range_.offset, count}, sink);
    if (!sent) {
      failure_ = std::move(sent).error();
      co_return fail(Code::kIo, "reading the source of a copy: " + failure_->message());
    }
    if (sink.missing() > 0) co_return fail(Code::kCorrupt, "the source of a copy is shorter than its size");
    range_.offset += count;
    range_.size -= count;
    co_await io::blocking([&] {
      md5_.update(piece);
      if (checksummer_) checksummer_->update(piece);
      return true;
    });
    co_return count;
  }

  const std::optional<Failure>& failure() const { return failure_; }
  std::string md5() {
    auto digest = md5_.finish();
    return std::string(as_text(digest));
  }
  Checksum checksum() { return checksummer_ ? checksummer_->finish() : Checksum{}; }

 private:
  Service& service_;
  const ObjectVersion& version_;
  std::string_view inlined_bytes_;
  blob::Range range_;
  base::Md5 md5_;
  std::optional<Checksummer> checksummer_;
  std::optional<Failure> failure_;
};

Task<Answer<Service::Stored>> Service::store_bytes(blob::ByteSource& source, std::optional<uint64_t> size_bytes) {
  Stored stored;
  if (!size_bytes || *size_bytes <= kInlineBytesMax) {
    // One more than fits, to see whether it does.
    stored.inlined_bytes.resize(kInlineBytesMax + 1);
    size_t count = CO_ASK(co_await source.read(as_writable_bytes(stored.inlined_bytes)));
    stored.inlined_bytes.resize(count);
    if (count <= kInlineBytesMax) {
      stored.inlined = true;
      stored.size_bytes = count;
      co_return stored;
    }
    PrefixedSource whole(as_bytes(stored.inlined_bytes), source);
    stored.blob = CO_ASK(co_await blob_.put(whole, UINT64_MAX));
    stored.inlined_bytes.clear();
  } else {
    stored.blob = CO_ASK(co_await blob_.put(source, *size_bytes));
  }
  stored.size_bytes = stored.blob.size_bytes;
  co_return stored;
}

void Service::discard(const Stored& stored) {
  if (!stored.inlined && !stored.blob.location.empty()) blob_.erase(stored.blob);
}

Task<Answer<Service::Stored>> Service::store_body(Body& body) {
  auto stored = co_await store_bytes(body, body.size_bytes());
  if (!stored) co_return refuse(body.failure() ? *body.failure() : std::move(stored).error());
  auto summary = co_await body.finish();
  if (!summary) {
    discard(*stored);
    co_return refuse(std::move(summary).error());
  }
  stored->md5 = std::move(summary->md5);
  stored->checksum = std::move(summary->checksum);
  statistics_.received_bytes += stored->size_bytes;
  co_return std::move(*stored);
}

Task<Answer<Service::Stored>> Service::store_copy(ObjectVersion version, std::string inlined_bytes, blob::Range range,
                                                  ChecksumAlgorithm algorithm) {
  // Read in many pieces, while others may overwrite the source and compaction move it.
  auto held = blob_.hold(version.blob);
  Home::Hold pin;
  if (!version.upload.empty()) pin = CO_ASK(co_await home_.pin(version.upload));
  VersionSource source(*this, version, inlined_bytes, range, algorithm);
  auto stored = co_await store_bytes(source, range.size);
  if (!stored) co_return refuse(source.failure() ? *source.failure() : std::move(stored).error());
  stored->md5 = source.md5();
  stored->checksum = source.checksum();
  co_return std::move(*stored);
}

Task<Answer<std::string>> Service::inlined_bytes(store::Txn& txn, BucketId bucket, std::string_view key,
                                                 const ObjectVersion& version) {
  if (!version.inlined) co_return std::string();
  co_return co_await engine_.inlined_bytes(txn, bucket, key, version.sequence);
}

Task<Answer<void>> Service::send_range(const ObjectVersion& version, std::string_view inlined_bytes, blob::Range range,
                                       blob::ByteSink& sink) {
  if (range.size == 0) co_return Answer<void>();
  if (version.inlined) {
    if (range.offset + range.size > inlined_bytes.size())
      co_return refuse(Failure(Error(Code::kCorrupt, "inlined bytes are too short")));
    CO_ASK(co_await sink.write(as_bytes(inlined_bytes).subspan(range.offset, range.size)));
    co_return Answer<void>();
  }
  if (version.upload.empty()) {
    CO_ASK(co_await blob_.get(version.blob, range, sink));
    co_return Answer<void>();
  }

  // The runs tell which part holds the first byte without reading a row.
  uint32_t number = 0;
  uint64_t part_begin = 0;
  for (const PartRun& run : version.parts) {
    uint64_t run_size = run.size_bytes * run.count;
    if (range.offset < part_begin + run_size) {
      uint64_t before = (range.offset - part_begin) / run.size_bytes;
      number = run.first_number + static_cast<uint32_t>(before);
      part_begin += before * run.size_bytes;
      break;
    }
    part_begin += run_size;
  }
  // Compaction may move parts meanwhile: rows that were read long ago are read again.
  constexpr auto kRowsFresh = std::chrono::seconds(15);
  uint64_t end = range.offset + range.size;
  for (uint32_t after = number - 1; part_begin < end;) {
    auto txn = CO_ASK(co_await begin());
    PartListing page = CO_ASK(co_await engine_.list_parts(*txn, version.upload, after, 64));
    txn.reset();  // sending may take long; a snapshot must not
    const SteadyTime read_at = clock_.steady();
    if (page.parts.empty()) co_return refuse(Failure(Error(Code::kCorrupt, "parts of an object are missing")));
    for (const Part& part : page.parts) {
      if (part_begin >= end || clock_.steady() - read_at > kRowsFresh) break;
      after = part.number;
      uint64_t first = std::max(range.offset, part_begin), last = std::min(end, part_begin + part.size_bytes);
      blob::Range piece{first - part_begin, last - first};
      part_begin += part.size_bytes;
      if (piece.size == 0) continue;
      if (part.inlined) {
        CO_ASK(co_await sink.write(as_bytes(part.bytes).subspan(piece.offset, piece.size)));
      } else {
        CO_ASK(co_await blob_.get(part.blob, piece, sink));
      }
    }
  }
  co_return Answer<void>();
}

}  // namespace polis::object
