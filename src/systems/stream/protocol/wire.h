// The primitive types of the Kafka protocol and the two codecs that the generated messages (messages.h, made from
// messages.txt) are read and written with. Sans-IO; values; any thread.
//
//     frame    := size:i32 header body                         big endian throughout
//     string   := length:i16 bytes        flexible: varint(length + 1) bytes; null is -1, flexible 0
//     array    := count:i32 elements      flexible: varint(count + 1) elements; null likewise
//     tags     := varint(count) { varint(tag) varint(size) bytes }    at the end of every structure of a flexible
//     version
//
// Nothing allocates by a length that was only announced: a count is bounded by the bytes that are really there.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::stream {

struct Uuid {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
};

// Record batches inside a message. Decoded: a view of them. To be encoded: a view, or `external_bytes` that the sender
// of the message puts in from elsewhere (a file, by sendfile), at the place that the Encoder remembers as a Splice.
struct Records {
  BytesView bytes;
  uint64_t external_bytes = 0;
  uint32_t external = 0;  // which, as the sender counts
  bool null = false;
};

struct Splice {
  size_t position = 0;  // in the encoded bytes: the external ones go in front of what stands there
  uint64_t size_bytes = 0;
  uint32_t external = 0;
};

struct ApiVersions {
  int16_t key = 0;
  int16_t oldest = 0, newest = 0;
  int16_t flexible = 0;  // from this version on
  std::string_view name;
};

// MessageOf<FetchRequest>::kApi; specialised by the generated code.
template <class Message>
struct MessageOf;

// Reads one message body. The first failure sticks: later reads give zeros and empty views, and status() tells.
class Decoder {
 public:
  // `elements_max`: of all arrays of the message together. An element of one byte may become hundreds in memory, so a
  // server bounds what a stranger's message may hold.
  explicit Decoder(BytesView input, size_t elements_max = SIZE_MAX) : rest_(input), elements_left_(elements_max) {}

  void flexible(bool value) { flexible_ = value; }
  bool is_flexible() const { return flexible_; }
  Result<void> status() const;  // kInvalid with the reason
  bool ok() const { return why_ == nullptr; }
  size_t remaining_bytes() const { return rest_.size(); }
  BytesView rest() const { return rest_; }

  // Out of line, all of them: a thousand fields inlined would cost a minute of compile time and half a megabyte of
  // code.
  void field(bool& value);
  void field(int8_t& value);
  void field(int16_t& value);
  void field(uint16_t& value);
  void field(int32_t& value);
  void field(int64_t& value);
  void field(double& value);
  void field(Uuid& value);
  void field(Records& value, bool nullable = true);
  void field(std::string_view& value);
  void field(std::string& value);
  void field(BytesView& value);
  void field(Bytes& value);
  void field(std::optional<std::string_view>& value, bool nullable);
  void field(std::optional<std::string>& value, bool nullable);
  void field(std::optional<BytesView>& value, bool nullable);
  void field(std::optional<Bytes>& value, bool nullable);

  template <class T, class F>
  void array(std::vector<T>& values, F element) {
    const auto count = length_of(4, false);
    elements(values, count.value_or(0), element);
  }
  template <class T, class F>
  void array(std::optional<std::vector<T>>& values, F element, bool nullable) {
    const auto count = length_of(4, nullable);
    if (!count) {
      values.reset();
      return;
    }
    elements(values.emplace(), *count, element);
  }
  template <class T, class F>
  void structure(std::optional<T>& value, F inner) {
    int8_t present = -1;
    field(present);
    if (present < 0) {
      value.reset();
    } else {
      T made{};
      inner(made);
      value = std::move(made);
    }
  }

  void no_tags() {
    if (flexible_) skip_tags();
  }
  template <class F>
  void tags(F known) {
    if (!flexible_) return;
    for (uint64_t count = varint(); count > 0 && ok(); --count) {
      const uint64_t number = varint();
      const BytesView content = bytes(varint());
      if (!ok()) return;
      Tags tags{*this, number, content};
      known(tags);
      if (!ok()) return;
    }
  }

  uint64_t varint();
  // The length in front of something: nothing for null. Fails on a null that is not allowed and on more than there is.
  std::optional<size_t> length_of(size_t width_bytes, bool nullable);
  BytesView bytes(uint64_t size);
  void skip_tags();
  void fail(const char* why) {
    if (why_ == nullptr) why_ = why;
    rest_ = {};
  }

 private:
  struct Tags {
    Decoder& outer;
    uint64_t number;
    BytesView content;
    template <class F>
    void tag(uint64_t which, bool /*is_default*/, F read) {
      if (which != number) return;
      Decoder inner(content, outer.elements_left_);
      inner.flexible(true);
      read(inner);
      outer.elements_left_ = inner.elements_left_;
      if (!inner.ok()) outer.fail(inner.why_);
    }
  };
  template <class T>
  void number(T& value);
  template <class T>
  void nullable_text(std::optional<T>& value, bool nullable);
  void take(size_t length, std::string_view& value);
  void take(size_t length, std::string& value);
  void take(size_t length, BytesView& value);
  void take(size_t length, Bytes& value);
  template <class T, class F>
  void elements(std::vector<T>& values, size_t count, F element) {
    values.clear();
    if (count > elements_left_) return fail("more elements than a message may have");
    elements_left_ -= count;
    // An element takes at least a byte; room grows with what is really read.
    values.reserve(std::min<size_t>(count, 1024));
    for (size_t i = 0; i < count && ok(); ++i) {
      T value{};
      element(value);
      if (ok()) values.push_back(std::move(value));
    }
  }

  BytesView rest_;
  size_t elements_left_;
  bool flexible_ = false;
  const char* why_ = nullptr;
};

// Appends one message body to bytes that the caller owns.
class Encoder {
 public:
  explicit Encoder(Bytes& out, std::vector<Splice>* splices = nullptr) : out_(out), splices_(splices) {}

  void flexible(bool value) { flexible_ = value; }
  bool is_flexible() const { return flexible_; }

  void field(bool value);
  void field(int8_t value);
  void field(int16_t value);
  void field(uint16_t value);
  void field(int32_t value);
  void field(int64_t value);
  void field(double value);
  void field(const Uuid& value);
  void field(const Records& value, bool nullable = true);
  void field(const std::string_view& value);
  void field(const std::string& value);
  void field(const BytesView& value);
  void field(const Bytes& value);
  // A null where the version has none is written as empty.
  void field(const std::optional<std::string_view>& value, bool nullable);
  void field(const std::optional<std::string>& value, bool nullable);
  void field(const std::optional<BytesView>& value, bool nullable);
  void field(const std::optional<Bytes>& value, bool nullable);
  template <class T, class F>
  void array(const std::vector<T>& values, F element) {
    length(values.size(), 4);
    for (const T& value : values) element(value);
  }
  template <class T, class F>
  void array(const std::optional<std::vector<T>>& values, F element, bool nullable) {
    if (values) return array(*values, element);
    length(nullable ? std::nullopt : std::optional<size_t>(0), 4);
  }
  template <class T, class F>
  void structure(const std::optional<T>& value, F inner) {
    field(int8_t{value ? int8_t{1} : int8_t{-1}});
    if (value) inner(*value);
  }

  void no_tags() {
    if (flexible_) varint(0);
  }
  // Writes the tagged fields that differ from their defaults, in ascending order.
  template <class F>
  void tags(F known) {
    if (!flexible_) return;
    CountTags count;
    known(count);
    varint(count.count);
    WriteTags write{*this};
    known(write);
  }

  void varint(uint64_t value);
  void length(std::optional<size_t> size, size_t width_bytes);
  void raw(BytesView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  size_t size_bytes() const { return out_.size(); }

 private:
  struct CountTags {
    uint64_t count = 0;
    template <class F>
    void tag(uint64_t /*which*/, bool is_default, F /*write*/) {
      count += !is_default;
    }
  };
  struct WriteTags {
    Encoder& outer;
    template <class F>
    void tag(uint64_t which, bool is_default, F write) {
      if (is_default) return;
      Bytes content;
      Encoder inner(content);
      inner.flexible(true);
      write(inner);
      outer.varint(which);
      outer.varint(content.size());
      outer.raw(content);
    }
  };
  template <class T>
  void number(T value);
  template <class T>
  void nullable_text(const std::optional<T>& value, bool nullable);
  void text(BytesView value, size_t width_bytes);

  Bytes& out_;
  std::vector<Splice>* splices_;
  bool flexible_ = false;
};

}  // namespace polis::stream
