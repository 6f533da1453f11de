"""What the customers were promised, against what is there: the database, the configuration file, the news that came."""
import collections
import json
import sqlite3

from customers import SCARCE

SCARCE_STOCK, STOCK = 25, 1_000_000
AFTER = {None: {"authorize"}, "authorize": {"capture", "refund", "expire"}, "capture": {"refund"}, "refund": set(),
         "expire": set()}


def check_promises(shop, subscribers, data):
    """What is wrong, in words, and some counts."""
    wrong = list(shop.wrong)
    left = [name for name in ("-wal", "-shm") if (data / ("storefront.db" + name)).exists()]
    if left:
        wrong.append(f"the database was not closed: {', '.join(left)} is still there")
    # Without a log beside it the file is all there is, and reading it leaves nothing behind.
    file = data / "storefront.db"
    db = sqlite3.connect(f"{file.as_uri()}?mode=ro{'' if left else '&immutable=1'}", uri=True)
    counts = {}
    check_orders(shop, db, counts, wrong)
    check_payments(shop, db, counts, wrong)
    check_jobs(shop, db, wrong)
    check_news(shop, subscribers, counts, wrong)
    check_config(shop, data, wrong)
    if (verdict := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        wrong.append(f"the database is damaged: {verdict}")
    return counts, wrong


def say(wrong, count, what, example):
    if count:
        wrong.append(f"{count} {what}, for example {example}")


def check_orders(shop, db, counts, wrong):
    rows = db.execute("SELECT user, idempotency_key, id, product, quantity FROM orders").fetchall()
    found = collections.defaultdict(list)
    for user, key, order, product, quantity in rows:
        found[user, key].append((order, product, quantity))
    missing = [key for key in shop.orders if key not in found]
    doubled = [key for key in found if len(found[key]) > 1]
    changed = [key for key, order in shop.orders.items() if key in found and order[:3] not in found[key]]
    say(wrong, len(missing), "acknowledged orders are missing", missing[:1])
    say(wrong, len(doubled), "orders are there more than once", doubled[:1])
    say(wrong, len(changed), "orders are not what was acknowledged", changed[:1])
    sold = collections.Counter()
    for _, _, _, product, quantity in rows:
        sold[product] += quantity
    for product, stock in db.execute("SELECT id, stock FROM products"):
        if stock + sold[product] != (SCARCE_STOCK if product == SCARCE else STOCK):
            wrong.append(f"product {product}: {sold[product]} sold, {stock} left: they do not add up")
    counts["orders"] = sum(key in found for key in shop.orders)
    counts["unanswered written"] = sum(key in found for key in shop.unanswered)


def check_payments(shop, db, counts, wrong):
    """Each payment's ledger is a way through the machine; it has every step that was acknowledged, and none that nobody
    asked for."""
    cents = dict(db.execute("SELECT id, cents FROM payments"))
    ledger = collections.defaultdict(list)
    for payment, number, event, key, amount in db.execute(
            "SELECT payment, number, event, idempotency_key, cents FROM payment_steps ORDER BY payment, number"):
        ledger[payment].append((number, event, key, amount))
    counts["payment steps"] = 0
    for number, payment in shop.payments.items():
        steps = ledger[number]
        if cents.get(number) != payment.cents:
            wrong.append(f"payment {number} is of {cents.get(number)} cents, acknowledged were {payment.cents}")
        before = None
        for place, (at, event, _, amount) in enumerate(steps, 1):
            if at != place or event not in AFTER[before] or not 1 <= amount <= payment.cents:
                wrong.append(f"the ledger of payment {number} makes no sense: {steps}")
                break
            before = event
        written = [(event, key, amount) for _, event, key, amount in steps]
        tried = [tuple(step[:3]) for step in payment.steps]
        for step in payment.steps:
            if step[3] and written.count(tuple(step[:3])) != 1:
                wrong.append(f"payment {number}: {step[0]} was acknowledged, its ledger has {written}")
        if any(step not in tried for step in written):
            wrong.append(f"payment {number}: nobody asked for all of {written}")
        counts["payment steps"] += sum(step[3] for step in payment.steps)


def check_jobs(shop, db, wrong):
    state = dict(db.execute("SELECT id, state FROM jobs"))
    lost = [number for number in shop.jobs if state.get(number) != "done"]
    say(wrong, len(lost), "acknowledged reports were never made", [(n, state.get(n)) for n in lost[:1]])


def check_news(shop, subscribers, counts, wrong):
    """A subscriber has all news of what was asked for after it had joined and acknowledged before the last that it has was
    asked for: that was sent before. News may come twice, when an answer was lost."""
    counts["news"] = counts["subscriptions"] = 0
    promised = {"orders": {order.number: order for order in shop.orders.values()},
                "payments": {(step.payment, step.state): step for step in shop.steps}}
    for subscriber in subscribers:
        of = promised[subscriber.topic]
        for subscription in subscriber.subscriptions:
            counts["subscriptions"] += 1
            counts["news"] += len(subscription.got)
            got = set(subscription.got)
            until = max((of[key].first_tried for key in got if key in of), default=0)
            missed = [key for key, thing in of.items()
                      if thing.last_tried > subscription.joined and thing.acknowledged < until and key not in got]
            say(wrong, len(missed), f"news of {subscriber.topic} were not told to a subscriber who was there", missed[:1])


def check_config(shop, data, wrong):
    acknowledged, tried = shop.config
    if acknowledged is None:
        return
    kept = json.loads((data / "config.json").read_text())["cart_lines_max"]
    if kept not in (acknowledged, tried):
        wrong.append(f"the configuration file has {kept}, acknowledged was {acknowledged}")
