// FIX messages as bytes: finding them in a stream, taking them apart, putting them together. No sessions here, no
// dictionary, no allocation once buffers have grown to what a connection needs.
//
//     8=FIX.4.4␁ 9=<bytes from 35= up to 10=>␁ 35=<type>␁ header and body fields ␁ 10=<sum of all bytes before, mod
//     256>␁
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "systems/exchange/messages.h"

namespace polis::exchange::fix {

inline constexpr size_t kMessageBytesMax = 64 * 1024;
inline constexpr char kSeparator = '\x01';
inline constexpr size_t kTrailerBytes = 7;  // "10=000" and its separator

// Negative ones are read, since whoever sends one is told so.
using Tag = int32_t;

// The tags that more than one file speaks of.
namespace tag {
inline constexpr Tag kBeginSeqNo = 7, kBeginString = 8, kBodyLength = 9, kCheckSum = 10, kEndSeqNo = 16,
                     kMsgSeqNum = 34, kMsgType = 35, kNewSeqNo = 36, kPossDupFlag = 43, kRefSeqNum = 45,
                     kSenderCompId = 49, kSendingTime = 52, kTargetCompId = 56, kText = 58, kPossResend = 97,
                     kEncryptMethod = 98, kHeartBtInt = 108, kTestReqId = 112, kOnBehalfOfCompId = 115,
                     kOnBehalfOfSubId = 116, kOrigSendingTime = 122, kGapFillFlag = 123, kDeliverToCompId = 128,
                     kDeliverToSubId = 129, kResetSeqNumFlag = 141, kOnBehalfOfLocationId = 144,
                     kDeliverToLocationId = 145, kRefTagId = 371, kLastMsgSeqNumProcessed = 369, kRefMsgType = 372,
                     kSessionRejectReason = 373, kBusinessRejectReason = 380, kUsername = 553, kPassword = 554,
                     kNextExpectedMsgSeqNum = 789;
}  // namespace tag

struct Field {
  Tag tag = 0;
  std::string_view value;
};

// A message that was taken apart. Points into the bytes it was read from.
class Message {
 public:
  // False for garbled ones: the first three tags are not 8, 9, 35, a tag is no number, length or sum are wrong.
  // `frame` is one frame as the framer gives it and must outlive what is asked of the message.
  bool parse(std::string_view frame);

  std::string_view begin_string() const { return fields_[0].value; }
  std::string_view type() const { return fields_[2].value; }
  // All fields in the order in which they came, 8, 9, 35 and 10 included.
  std::span<const Field> fields() const { return {fields_.data(), count_}; }
  // The first one with that tag. Looks through all: whoever needs many goes through fields() once.
  std::optional<std::string_view> find(Tag tag) const;
  // Whether it is there and says Y.
  bool flag(Tag tag) const;
  // Nothing unless it is there and a whole number of 0 .. 2^31-1.
  std::optional<uint32_t> number(Tag tag) const;
  std::string_view frame() const { return frame_; }

 private:
  // Takes the field that begins at `from`, up to the separator or, if it is raw data, up to where that ends, which is
  // behind one; answers its end. Null: it is none.
  const char* take(const char* from, const char* separator);

  std::string_view frame_;
  std::vector<Field> fields_;  // of it the first count_
  size_t count_ = 0;
};

// Finds frames in a stream of bytes that may be cut anywhere.
//
//     room() → read into it → filled(n) → next() until kNeedMore
class Framer {
 public:
  enum class Found : uint8_t {
    kNeedMore,
    kFrame,    // frame() is one; it may still be garbled inside
    kGarbled,  // something began as a message and cannot be one; it was skipped
  };
  // Room to read into, at least 4 KiB. Invalidates frame().
  std::span<char> room();
  void filled(size_t bytes);
  // Skips what stands before the next "8=". The frame stays valid until room() is called.
  Found next();
  std::string_view frame() const { return frame_; }
  // Forgets everything: a new connection.
  void clear();

 private:
  // Where the next CheckSum field begins, from there on.
  size_t find_sum(size_t from);

  std::vector<char> bytes_;
  size_t begin_ = 0, end_ = 0;
  // No CheckSum field begins in [clear_from_, clear_until_): so that a flood of beginnings costs no search each.
  size_t clear_from_ = 0, clear_until_ = 0;
  std::string_view frame_;
};

// "20240102-09:30:00.000"
inline constexpr size_t kTimestampBytes = 21;
void write_timestamp(VenueTime time, char* to);

// The same, where most times are of the same second as the one before.
class TimestampWriter {
 public:
  void write(VenueTime time, char* to) {
    constexpr VenueTime kSecondNs = 1'000'000'000;
    const VenueTime second = time < 0 ? -1 : time / kSecondNs;
    if (second < 0 || second != second_) [[unlikely]] {
      write_timestamp(time, text_);
      second_ = second;
      return static_cast<void>(std::memcpy(to, text_, kTimestampBytes));
    }
    std::memcpy(to, text_, kTimestampBytes - 3);
    const auto milliseconds = static_cast<uint32_t>(time % kSecondNs / 1'000'000);
    to[18] = static_cast<char>('0' + milliseconds / 100);
    to[19] = static_cast<char>('0' + milliseconds / 10 % 10);
    to[20] = static_cast<char>('0' + milliseconds % 10);
  }

 private:
  char text_[kTimestampBytes] = {};
  VenueTime second_ = -1;
};

// Writes fields one by one; the caller keeps the order that FIX wants (see session.h). Values hold no separator: those
// that come from outside were read from a message, or are checked by their maker. Inline, so that a constant tag is one
// store: an execution report has 20 fields.
class FieldWriter {
 public:
  void clear() { used_ = 0; }
  bool empty() const { return used_ == 0; }
  std::string_view view() const { return {text_.data(), used_}; }

  void text(Tag tag, std::string_view value) {
    char* to = begin(tag, value.size());
    if (!value.empty()) std::memcpy(to, value.data(), value.size());
    end(to + value.size());
  }
  void character(Tag tag, char value) {
    char* to = begin(tag, 1);
    *to++ = value;
    end(to);
  }
  void number(Tag tag, int64_t value);
  void flag(Tag tag, bool value) { character(tag, value ? 'Y' : 'N'); }
  // mantissa × 10^-decimals, without zeros at the end of its fraction: 10010 and 2 are "100.1"; decimals 0 .. 18.
  void decimal(Tag tag, int64_t mantissa, unsigned decimals);
  void time(Tag tag, VenueTime time) {  // UTCTimestamp to the millisecond
    char* to = begin(tag, kTimestampBytes);
    timestamps_.write(time, to);
    end(to + kTimestampBytes);
  }
  void date(Tag tag, VenueTime time);  // yyyymmdd
  // A value that somebody else writes: `write` gets where it goes and answers how many characters it wrote, at most
  // `bytes_max`.
  template <class Write>
  void written(Tag tag, size_t bytes_max, Write write) {
    char* to = begin(tag, bytes_max);
    end(to + write(to));
  }

 private:
  static constexpr size_t kTagBytesMax = 12;  // with its sign and '='

  // Room for a value of so many bytes behind the tag, and where it goes.
  char* begin(Tag tag, size_t value_bytes) {
    const size_t needed = used_ + kTagBytesMax + value_bytes + 1;
    if (needed > text_.size()) [[unlikely]]
      grow(needed);
    char* to = text_.data() + used_;
    if (tag < 0 || tag >= 1000) [[unlikely]]
      return write_long_tag(to, tag);
    // One store of four bytes, of which the next ones may write over the last.
    const auto digit = [](Tag value) { return static_cast<char>('0' + value % 10); };
    const size_t size = tag >= 100 ? 4 : tag >= 10 ? 3 : 2;
    const char text[3][4] = {
        {digit(tag), '='}, {digit(tag / 10), digit(tag), '='}, {digit(tag / 100), digit(tag / 10), digit(tag), '='}};
    std::memcpy(to, text[size - 2], 4);
    return to + size;
  }
  void end(char* to) {
    *to++ = kSeparator;
    used_ = static_cast<size_t>(to - text_.data());
  }
  void grow(size_t needed);
  static char* write_long_tag(char* to, Tag tag);

  std::string text_;  // of it the first used_
  size_t used_ = 0;
  TimestampWriter timestamps_;
};

// The sum of all bytes mod 256: what a CheckSum field says.
uint8_t byte_sum(std::string_view text);

// A UTCTimestamp of seconds, or with 3, 6 or 9 digits of fraction; a leap second counts as the next one.
std::optional<VenueTime> read_timestamp(std::string_view text);
// A FIX decimal ("-0012.50"): sign, digits, at most one point, no exponent. Nothing if it is none, or has more than 18
// digits that count. exponent <= 0, trailing zeros of the fraction dropped.
std::optional<Decimal> read_decimal(std::string_view text);
// Digits alone, up to 2^63-1.
std::optional<int64_t> read_number(std::string_view text);

}  // namespace polis::exchange::fix
