#include "db_pool.hpp"

#include <atomic>

namespace storefront {
using namespace std::chrono_literals;

namespace {
constinit std::atomic<unsigned> reads{0};
constinit std::atomic<unsigned> reader_count{1};
}  // namespace

// [spec]
otp::supervisor_spec db_pool::spec(int readers, const std::string& file, int max_restarts) {
  reader_count = static_cast<unsigned>(readers);
  otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = max_restarts, .max_seconds = 5s};
  spec.children.push_back(otp::child<db_connection>(std::string(writer), file).id(std::string(writer)));
  for (int i = 0; i < readers; ++i) spec.children.push_back(otp::child<db_connection>(reader(i), file).id(reader(i)));
  return spec;
}
// [/spec]

int db_pool::next_turn() { return static_cast<int>(reads++ % reader_count); }

std::string db_pool::reader(int which) {
  return "db_reader_" + std::to_string(1 + static_cast<unsigned>(which) % reader_count);
}

}  // namespace storefront
