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
                const Envelope& envelope, ChecksumAlgorithm algorithm)
      : service_(service), version_(version), inlined_bytes_(inlined_bytes), range_(range), envelope_(envelope) {
    if (algorithm != ChecksumAlgorithm::kNone) checksummer_.emplace(algorithm);
  }

  Task<Result<size_t>> read(MutableBytes into) override {
    size_t count = std::min<uint64_t>(into.size(), range_.size);
    if (count == 0) co_return size_t{0};
    MutableBytes piece = into.first(count);
    MemorySink sink(piece);
    auto sent = co_await service_.send_range(version_, inlined_bytes_, {range_.offset, count}, envelope_, sink);
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
  const Envelope& envelope_;
  base::Md5 md5_;
  std::optional<Checksummer> checksummer_;
  std::optional<Failure> failure_;
};

Task<Answer<Service::Stored>> Service::store_bytes(blob::ByteSource& source, std::optional<uint64_t> size_bytes,
                                                   const Envelope& envelope, blob::Scheme scheme) {
  Stored stored;
  std::optional<RunKey> run;
  if (envelope) {
    run = envelope.make(random_);
    stored.seal = run->seal;
  }
  auto to_blob = [&](blob::ByteSource& plain) -> Task<Result<blob::Receipt>> {
    const uint64_t hint = size_bytes.value_or(UINT64_MAX);
    if (!run) {
      auto receipt = co_await blob_.put(plain, hint, scheme);
      if (receipt) stored.size_bytes = receipt->size_bytes;
      co_return receipt;
    }
    SealingSource sealed(*run, plain);
    auto receipt = co_await blob_.put(sealed, size_bytes ? sealed_size(hint) : hint, scheme);
    stored.size_bytes = sealed.plain_bytes();
    co_return receipt;
  };
  if (!size_bytes || *size_bytes <= kInlineBytesMax) {
    // One more than fits, to see whether it does.
    stored.inlined_bytes.resize(kInlineBytesMax + 1);
    size_t count = CO_ASK(co_await source.read(as_writable_bytes(stored.inlined_bytes)));
    stored.inlined_bytes.resize(count);
    if (count <= kInlineBytesMax) {
      stored.inlined = true;
      stored.size_bytes = count;
      if (run) stored.inlined_bytes = seal_text(*run, stored.inlined_bytes);
      co_return stored;
    }
    PrefixedSource whole(as_bytes(stored.inlined_bytes), source);
    size_bytes.reset();
    stored.blob = CO_ASK(co_await to_blob(whole));
    stored.inlined_bytes.clear();
  } else {
    stored.blob = CO_ASK(co_await to_blob(source));
  }
  co_return stored;
}

void Service::discard(const Stored& stored) {
  if (!stored.inlined && !stored.blob.location.empty()) blob_.erase(stored.blob);
}

Task<Answer<Service::Stored>> Service::store_body(Body& body, const Envelope& envelope,
                                                  blob::Scheme scheme) {
  auto stored = co_await store_bytes(body, body.size_bytes(), envelope, scheme);
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
                                                  ChecksumAlgorithm algorithm, const Envelope& from,
                                                  const Envelope& to, blob::Scheme scheme) {
  // Read in many pieces, while others may overwrite the source and compaction move it.
  auto held = blob_.hold(version.blob);
  Home::Hold pin;
  if (!version.upload.empty()) pin = CO_ASK(co_await home_.pin(version.upload));
  VersionSource source(*this, version, inlined_bytes, range, from, algorithm);
  auto stored = co_await store_bytes(source, range.size, to, scheme);
  if (!stored) co_return refuse(source.failure() ? *source.failure() : std::move(stored).error());
  stored->md5 = source.md5();
  stored->checksum = source.checksum();
  co_return std::move(*stored);
}

Task<Answer<Home::Hold>> Service::pin_parts(const ObjectVersion& version, WallTime asked_at) {
  if (version.upload.empty()) co_return Home::Hold();
  Home::Hold pin = CO_ASK(co_await home_.pin(version.upload));
  // The reaper leaves the parts of a replaced version alone for two seconds, and from here on altogether. Later than
  // that, was it there before?
  const Duration age = clock_.wall() - asked_at;
  if (age >= Duration::zero() && age < std::chrono::seconds(1)) co_return std::move(pin);
  auto txn = CO_ASK(co_await begin());
  if (!CO_ASK(co_await engine_.parts_stay(*txn, version.upload)))
    co_return refuse(Failure(ErrorCode::kSlowDown, "The object was replaced while it was looked up; ask again")
                         .header("Retry-After", "1"));
  co_return std::move(pin);
}

Task<Answer<std::string>> Service::inlined_bytes(store::Txn& txn, BucketId bucket, std::string_view key,
                                                 const ObjectVersion& version) {
  if (!version.inlined) co_return std::string();
  co_return co_await engine_.inlined_bytes(txn, bucket, key, version.sequence);
}

Task<Answer<void>> Service::send_run(const Run& run, blob::Range range, const Envelope& envelope,
                                     blob::ByteSink& sink) {
  // Sealed bytes must never pass for plain ones, nor the other way round.
  if (static_cast<bool>(run.seal) != static_cast<bool>(envelope))
    co_return refuse(Failure(Error(Code::kCorrupt, "bytes are not encrypted as their object says")));
  auto from = [&](blob::Range stored, blob::ByteSink& into) -> Task<Result<void>> {
    if (!run.inlined) co_return co_await blob_.get(run.blob, stored, into);
    if (stored.offset + stored.size > run.inlined_bytes.size())
      co_return fail(Code::kCorrupt, "inlined bytes are too short");
    co_return co_await into.write(as_bytes(run.inlined_bytes).subspan(stored.offset, stored.size));
  };
  if (!envelope) {
    CO_ASK(co_await from(range, sink));
    co_return Answer<void>();
  }
  SecretKey key = CO_ASK(envelope.open(run.seal));
  OpeningSink opening(key, run.seal, range, run.size_bytes, sink);
  CO_ASK(co_await from(packets_of(range, run.size_bytes).stored, opening));
  CO_ASK(opening.finish());
  co_return Answer<void>();
}

Task<Answer<void>> Service::send_range(const ObjectVersion& version, std::string_view inlined_bytes, blob::Range range,
                                       const Envelope& envelope, blob::ByteSink& sink) {
  if (range.size == 0) co_return Answer<void>();
  if (version.inlined || version.upload.empty()) {
    co_return co_await send_run({.size_bytes = version.size_bytes,
                                 .seal = version.seal,
                                 .inlined = version.inlined,
                                 .inlined_bytes = inlined_bytes,
                                 .blob = version.blob},
                                range, envelope, sink);
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
      CO_ASK(co_await send_run({.size_bytes = part.size_bytes,
                                .seal = part.seal,
                                .inlined = part.inlined,
                                .inlined_bytes = part.bytes,
                                .blob = part.blob},
                               piece, envelope, sink));
    }
  }
  co_return Answer<void>();
}

}  // namespace polis::object
