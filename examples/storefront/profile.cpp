#include "profile.hpp"

#include "background.hpp"
#include "db_pool.hpp"

namespace storefront {

namespace {

constexpr std::int64_t newest = 10;

template <class T>
std::optional<T> from_database(db_connection::answer<T> answer) {
  return answer ? std::optional(std::move(*answer)) : std::nullopt;
}

}  // namespace

// [gather]
profile gather_profile(const std::string& user, otp::duration within) {
  const otp::instant deadline = otp::now() + within;
  auto orders = otp::async_nolink(background, [user] {
    return from_database(db_pool::read([user](sqlite::database& db) { return orders_of(db, user, newest); }));
  });
  auto payments = otp::async_nolink(background, [user] {
    return from_database(db_pool::read([user](sqlite::database& db) { return payments_of(db, user, newest); }));
  });
  auto cart = otp::async_nolink(background, [user] {
    auto shown = show_cart_of(user);
    return shown ? std::optional(*shown) : std::nullopt;
  });

  auto part = [&](auto& task) {
    auto come = otp::yield(task, std::max(deadline - otp::now(), otp::duration::zero()));
    if (!come) come = otp::shutdown(task, otp::brutal_kill);
    return come && *come ? std::move(**come) : std::nullopt;
  };
  return {.orders = part(orders), .payments = part(payments), .cart = part(cart)};
}
// [/gather]

}  // namespace storefront
