// The text formats of metrics.h: https://prometheus.io/docs/instrumenting/exposition_formats/ (0.0.4) and
// https://prometheus.io/docs/specs/om/open_metrics_spec/ (1.0).
#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernel/obs/metrics.h"

namespace polis::obs {
namespace {

class Renderer {
 public:
  explicit Renderer(Exposition exposition) : open_metrics_(exposition == Exposition::kOpenMetrics) {}

  void family(const Registry::Family& family) {
    // OpenMetrics names the family, the older format the sample.
    std::string name = family.name;
    if (family.type == MetricType::kCounter && !open_metrics_) name += "_total";
    if (!family.help.empty()) {
      out_.append("# HELP ").append(name).append(" ");
      append_escaped(family.help, open_metrics_);
      out_.push_back('\n');
    }
    out_.append("# TYPE ").append(name).append(" ").append(type_name(family.type)).append("\n");
    if (open_metrics_) unit(family.name);
    for (const Registry::Series& series : family.series) {
      if (family.type == MetricType::kHistogram)
        histogram(family.name, series);
      else
        sample(family.name, family.type == MetricType::kCounter ? "_total" : "", series.labels, {}, series.value);
    }
  }

  std::string finish() {
    if (open_metrics_) out_.append("# EOF\n");
    return std::move(out_);
  }

 private:
  static std::string_view type_name(MetricType type) {
    switch (type) {
      case MetricType::kCounter:
        return "counter";
      case MetricType::kGauge:
        return "gauge";
      case MetricType::kHistogram:
        return "histogram";
    }
    return "unknown";
  }

  void unit(std::string_view name) {
    for (std::string_view unit : {"seconds", "bytes"})
      if (name.ends_with(unit) && name.size() > unit.size() && name[name.size() - unit.size() - 1] == '_')
        out_.append("# UNIT ").append(name).append(" ").append(unit).append("\n");
  }

  void histogram(std::string_view name, const Registry::Series& series) {
    uint64_t cumulative = 0;
    for (size_t i = 0; i < series.histogram.counts.size(); ++i) {
      cumulative += series.histogram.counts[i];
      bool last = i == series.histogram.bounds.size();
      std::string bound = last ? "+Inf" : number(series.histogram.bounds[i], open_metrics_);
      sample(name, "_bucket", series.labels, bound, static_cast<double>(cumulative));
    }
    sample(name, "_sum", series.labels, {}, series.histogram.sum);
    sample(name, "_count", series.labels, {}, static_cast<double>(series.histogram.count));
  }

  void sample(std::string_view name, std::string_view suffix, const Labels& labels, std::string_view bound,
              double value) {
    out_.append(name).append(suffix);
    if (!labels.empty() || !bound.empty()) {
      char between = '{';
      auto label = [&](std::string_view key, std::string_view text) {
        out_.push_back(std::exchange(between, ','));
        out_.append(key).append("=\"");
        append_escaped(text, true);
        out_.push_back('"');
      };
      for (const auto& [key, text] : labels) label(key, text);
      if (!bound.empty()) label("le", bound);
      out_.push_back('}');
    }
    out_.append(" ").append(number(value, false)).append("\n");
  }

  // In OpenMetrics' canonical form a bound always shows that it is a float.
  static std::string number(double value, bool as_float) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    char buffer[32];
    // Counts stay whole numbers up to 2^53, where doubles end to be exact.
    bool whole = value == std::floor(value) && std::abs(value) < 9.007199254740992e15;
    auto [end, error] = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(value))
                              : std::to_chars(buffer, buffer + sizeof buffer, value);
    std::string text(buffer, end);
    if (whole && as_float) text.append(".0");
    return text;
  }

  void append_escaped(std::string_view text, bool quotes) {
    for (char c : text) {
      if (c == '\\') {
        out_.append("\\\\");
      } else if (c == '\n') {
        out_.append("\\n");
      } else if (c == '"' && quotes) {
        out_.append("\\\"");
      } else {
        out_.push_back(c);
      }
    }
  }

  bool open_metrics_;
  std::string out_;
};

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

// The part before `separator`, trimmed, which it removes from `text`.
std::string_view take_part(std::string_view& text, char separator) {
  size_t end = std::min(text.find(separator), text.size());
  std::string_view part = trimmed(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

}  // namespace

std::string render(const std::vector<Registry::Family>& families, Exposition exposition) {
  Renderer renderer(exposition);
  for (const Registry::Family& family : families) renderer.family(family);
  return renderer.finish();
}

Exposition choose_exposition(std::string_view accept) {
  while (!accept.empty()) {
    std::string_view range = take_part(accept, ',');
    if (take_part(range, ';') != "application/openmetrics-text") continue;
    bool wanted = true;
    while (!range.empty()) {
      std::string_view parameter = take_part(range, ';');
      if (parameter.starts_with("q=")) wanted = parameter.find_first_of("123456789") != parameter.npos;
      if (parameter.starts_with("version=") && !parameter.starts_with("version=1.") &&
          !parameter.starts_with("version=0.0.1"))
        wanted = false;
    }
    if (wanted) return Exposition::kOpenMetrics;
  }
  return Exposition::kPrometheus;
}

std::string_view content_type(Exposition exposition) {
  return exposition == Exposition::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                : "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace polis::obs
