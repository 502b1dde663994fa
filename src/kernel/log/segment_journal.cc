#include "kernel/log/segment_journal.h"

#include "kernel/log/record.h"

namespace polis::log {
namespace {

class SegmentJournalReader final : public JournalReader {
 public:
  explicit SegmentJournalReader(FrameReader reader) : reader_(std::move(reader)) {}
  Task<Result<std::optional<Record>>> next() override {
    const auto frame = CO_TRY(co_await reader_.next());
    if (!frame) co_return std::nullopt;
    co_return Record{frame->first, RecordFrame::payload(frame->bytes)};
  }

 private:
  FrameReader reader_;
};

class SegmentJournal final : public Journal {
 public:
  explicit SegmentJournal(std::unique_ptr<FrameLog> log) : log_(std::move(log)) {}

  Result<Position> append(std::span<const BytesView> parts) override {
    size_t payload_bytes = 0;
    for (BytesView part : parts) payload_bytes += part.size();
    const Position position = log_->end();
    TRY(admit(payload_bytes));
    const auto slot = TRY(log_->append(RecordFrame::size_bytes(payload_bytes), position, position + 1));
    RecordFrame::encode(slot.bytes, parts, position, slot.durable_before, slot.salt);
    return position;
  }
  Result<void> admit(size_t payload_bytes) const override {
    if (payload_bytes > kRecordPayloadBytesMax)
      return fail(Code::kTooLarge, log_->directory() + ": a record of " + std::to_string(payload_bytes) +
                                       " bytes; at most 16 MiB are allowed");
    return log_->admit(RecordFrame::size_bytes(payload_bytes));
  }
  Task<Result<void>> wait(Position position, Durability durability) override {
    return log_->wait(position + (position != UINT64_MAX), durability);
  }
  Position reached(Durability durability) const override {
    return durability == Durability::kReplicated ? 0 : log_->reached(durability) - 1;
  }
  Position first() const override { return log_->start(); }
  Position last() const override { return log_->end() - 1; }
  Result<std::unique_ptr<JournalReader>> read(Position from) override {
    return std::make_unique<SegmentJournalReader>(TRY(log_->read(from)));
  }
  Task<Result<void>> trim(Position before) override { return log_->trim(before); }
  std::optional<Error> failure() const override { return log_->failure(); }
  JournalStatistics statistics() const override {
    const SegmentLogStatistics log = log_->statistics();
    return {.appends = log.appends,
            .appended_bytes = log.appended_bytes,
            .writes = log.writes,
            .syncs = log.syncs,
            .size_bytes = log.size_bytes,
            .buffered_bytes = log.buffered_bytes,
            .torn_bytes = log.torn_bytes};
  }
  Task<Result<void>> close() override { return log_->close(); }

 private:
  std::unique_ptr<FrameLog> log_;
};

}  // namespace

Task<Result<std::unique_ptr<Journal>>> open_segment_journal(io::Disk& disk, SyncScheduler& scheduler, Random& random,
                                                            SegmentLogOptions options) {
  options.first_position = 1;
  auto log = CO_TRY(co_await SegmentLog<RecordFrame>::open(disk, scheduler, random, std::move(options)));
  co_return std::make_unique<SegmentJournal>(std::move(log));
}

}  // namespace polis::log
