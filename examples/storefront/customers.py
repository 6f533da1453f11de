"""The customers of the demo: threads that ask the shop for one thing after the other, and note what it promised them.

No answer, or 503: the same thing is asked again, under the same key. What was promised is compared with the database in
promises.py.
"""
import collections
import http.client
import random
import socket
import threading
import time
import uuid

from program import WebSocket, ask

DEADLINE = 10  # seconds in which every request has to be answered
PRODUCTS = 12
SCARCE = 12


class Shop:
    """What all customers share. The lists are written by one thread each or under the lock."""

    def __init__(self, program):
        self.program = program
        self.closing = threading.Event()  # customers are to end
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.seconds = []  # of orders
        self.orders = {}  # acknowledged: (user, key): Order
        self.unanswered = set()  # orders that were tried and never answered
        self.payments = {}  # number: Payment
        self.steps = []  # of payments, acknowledged
        self.jobs = {}  # acknowledged: number: whether it was seen done
        self.config = [None, None]  # last acknowledged and last tried value
        self.wrong = []  # what no shop may do, in words

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    def accuse(self, sentence):
        with self.lock:
            self.wrong.append(sentence)


Order = collections.namedtuple("Order", "number product quantity first_tried last_tried acknowledged")


class Customer(threading.Thread):
    def __init__(self, number, shop):
        super().__init__(daemon=True)
        self.number, self.shop = number, shop
        self.connection = None

    def run(self):
        turn = 0
        while not self.shop.closing.is_set():
            turn += 1
            self.shop_once(turn)

    def attempt(self, method, path, body=None, headers=None):
        """Status and answer; None if the connection broke or there was no answer in time."""
        began = self.last_tried = time.monotonic()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.shop.program.address, timeout=DEADLINE)
            status, answer = ask(self.connection, method, path, body, headers)
            with self.shop.lock:
                self.shop.counts["requests"] += 1
                self.shop.counts[503] += status == 503
            return status, answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.connection.close()
            self.connection = None
            if isinstance(error, ConnectionRefusedError) and self.shop.closing.is_set():
                return None, None  # the program has ended
            hung = isinstance(error, TimeoutError) or time.monotonic() - began >= DEADLINE
            self.shop.count("hung" if hung else "cut")
            return None, None

    def insist(self, method, path, body=None, headers=None):
        """The same until there is an answer that is one. None if the shop closes before."""
        while True:
            status, answer = self.attempt(method, path, body, headers)
            if status not in (None, 429, 503):
                return status, answer
            if self.shop.closing.is_set():
                return None, None
            time.sleep(0.02)

    def expect(self, what, wanted, got, answer):
        """Whether it was the answer that had to come; None is none."""
        if got not in (None, wanted):
            self.shop.accuse(f"{what} was answered with {got} instead of {wanted}: {answer}")
        return got == wanted


class Buyer(Customer):
    """Places orders."""

    def shop_once(self, turn):
        product = SCARCE if turn % 20 == 0 else random.randint(1, PRODUCTS - 1)
        self.place(f"buyer{self.number}.{turn % 500}", product, random.randint(1, 3))

    def place(self, user, product, quantity):
        key, first = str(uuid.uuid4()), time.monotonic()
        self.shop.count("orders")
        while True:
            began = time.monotonic()
            status, answer = self.attempt("POST", "/orders", {"product": product, "quantity": quantity},
                                          {"X-User": user, "Idempotency-Key": key})
            now = time.monotonic()
            if status == 201:
                with self.shop.lock:
                    self.shop.seconds.append(now - began)
                    self.shop.orders[user, key] = Order(answer["id"], product, quantity, first, began, now)
                return answer["id"]
            if status in (409, 429):
                return self.shop.count(status)
            if status not in (None, 503):
                return self.shop.accuse(f"an order was answered with {status}: {answer}")
            if self.shop.closing.is_set():
                with self.shop.lock:
                    self.shop.unanswered.add((user, key))
                return None
            time.sleep(0.02)


Step = collections.namedtuple("Step", "payment state first_tried last_tried acknowledged")


class Payment:
    def __init__(self, cents):
        self.cents = cents
        self.steps = []  # [event, key, cents, acknowledged], in the order in which they were tried


class Payer(Customer):
    """Opens payments and takes them through their states, with steps in between that must be refused."""

    def shop_once(self, turn):
        self.headers = {"X-User": f"payer{self.number}.{turn % 50}"}
        cents = random.randint(100, 100_000)
        status, answer = self.insist("POST", "/payments", {"cents": cents}, self.keyed())
        if not self.expect("opening a payment", 201, status, answer):
            return
        self.path = f"/payments/{answer['id']}"
        payment = self.shop.payments[answer["id"]] = Payment(cents)
        state = "pending"
        if turn % 3 == 0:
            self.refused("capture", None, 409)
        if turn % 7 == 0:
            self.refused("authorize", {"card": "tok_declined"}, 402)
        plan = random.choice([["authorize"], ["authorize", "capture"], ["authorize", "refund"],
                              ["authorize", "capture", "refund"]])
        for event in plan:
            if not self.step(payment, event):
                return
            state = {"authorize": "authorized", "capture": "captured", "refund": "refunded"}[event]
            if turn % 5 == 0 and event != "refund":
                self.refused("refund", {"cents": random.choice([0, -1, cents + 1, 2**63, 2**70])}, 422)
            if turn % 4 == 0:
                self.refused("authorize", {"card": "tok_visa"}, 409)
        status, answer = self.insist("GET", self.path, None, self.headers)
        if self.expect("looking at a payment", 200, status, answer) and answer["state"] != state:
            self.shop.accuse(f"{self.path} is {answer['state']} after {state} was acknowledged")

    def keyed(self):
        return {**self.headers, "Idempotency-Key": str(uuid.uuid4())}

    def step(self, payment, event):
        cents = random.randint(1, payment.cents) if event == "refund" else payment.cents
        body = {"authorize": {"card": "tok_visa"}, "capture": None, "refund": {"cents": cents}}[event]
        headers = self.keyed()
        payment.steps.append(tried := [event, headers["Idempotency-Key"], cents, False])
        first = time.monotonic()
        status, answer = self.insist("POST", f"{self.path}/{event}", body, headers)
        tried[3] = self.expect(f"{event} of {self.path}", 200, status, answer)
        if tried[3]:
            self.shop.steps.append(Step(answer["id"], answer["state"], first, self.last_tried, time.monotonic()))
        return tried[3]

    def refused(self, event, body, wanted):
        status, answer = self.insist("POST", f"{self.path}/{event}", body, self.keyed())
        if self.expect(f"a wrong {event} of {self.path}", wanted, status, answer):
            self.shop.count("wrong steps")


class CartUser(Customer):
    """Fills carts. A cart may be lost and begun anew; it may never be anything else than what was put into it."""

    def shop_once(self, turn):
        headers = {"X-User": f"carter{self.number}.{turn % 100}"}
        status, cart = self.insist("DELETE", "/cart", None, headers)
        if not self.expect("emptying a cart", 200, status, cart):
            return
        expected = {}
        for _ in range(random.randint(2, 6)):
            product, quantity = random.randint(1, PRODUCTS), random.randint(1, 9)
            status, answer = self.insist("PUT", f"/cart/{product}", {"quantity": quantity}, headers)
            if not self.expect("filling a cart", 200, status, answer):
                return
            if answer["cart"] != cart["cart"]:
                expected = {}
                self.shop.count("fresh carts")
            expected[product] = quantity
            cart = answer
            if {line["product"]: line["quantity"] for line in cart["lines"]} != expected:
                self.shop.accuse(f"a cart has {cart['lines']} and not {expected}")
        self.shop.count("carts")


class JobAsker(Customer):
    """Orders reports, and waits until they are done."""

    def shop_once(self, turn):
        headers = {"X-User": f"boss{self.number}.{turn % 50}", "Idempotency-Key": str(uuid.uuid4())}
        status, answer = self.insist("POST", "/jobs/report", None, headers)
        if not self.expect("ordering a report", 202, status, answer):
            return
        number = answer["id"]
        self.shop.jobs[number] = False
        while not self.shop.closing.wait(0.1):
            status, answer = self.insist("GET", f"/jobs/{number}", None, headers)
            if not self.expect("looking at a report", 200, status, answer):
                return
            if answer["state"] == "done":
                self.shop.jobs[number] = True
                return
            if answer["state"] == "failed":
                self.shop.accuse(f"report {number} failed: {answer}")
                return


class Boss(Customer):
    """Changes the configuration, also with mistakes, and looks whether it is what was acknowledged."""

    def shop_once(self, turn):
        value = random.randint(50, 100)
        self.shop.config[1] = value
        status, answer = self.insist("PUT", "/config", {"cart_lines_max": value})
        if self.expect("a change of the configuration", 200, status, answer):
            self.shop.config[0] = value
            self.shop.count("config changes")
            self.look()
        status, answer = self.insist("PUT", "/config", {"cart_lines_max": -turn, "colour": "red"})
        if self.expect("a bad configuration", 422, status, answer):
            self.shop.count("bad configs")
            if len(answer["error"]["keys"]) != 2:
                self.shop.accuse(f"of two bad keys it says {answer}")
            self.look()
        self.shop.closing.wait(0.2)

    def look(self):
        status, answer = self.insist("GET", "/config")
        if self.expect("looking at the configuration", 200, status, answer) and \
                answer["cart_lines_max"] != self.shop.config[0]:
            self.shop.accuse(f"the configuration is {answer['cart_lines_max']}, acknowledged was {self.shop.config[0]}")


class Reader(Customer):
    """Looks at profiles and at the shop's health."""

    def shop_once(self, turn):
        user = f"buyer0.{turn % 500}"
        status, answer = self.insist("GET", f"/profile/{user}", None, {"X-User": user})
        if self.expect("a profile", 200, status, answer):
            self.shop.count("profiles")
            self.shop.count("missing parts", len(answer["missing"]))
        status, _ = self.attempt("GET", "/health")
        self.shop.count("health looks")
        self.shop.count("health bad", status == 503)
        self.shop.closing.wait(0.1)


class Subscription:
    """One websocket, from the hello on."""

    def __init__(self):
        self.joined = time.monotonic()
        self.got = []  # numbers of orders, or payments and their states
        self.open = True


class Subscriber(Customer):
    """Follows a topic, and comes back when it is cut off."""

    def __init__(self, number, shop, topic):
        super().__init__(number, shop)
        self.topic = topic
        self.subscriptions = []

    def run(self):
        while not self.shop.closing.is_set():
            try:
                self.follow(WebSocket(self.shop.program.address, f"/news/{self.topic}", timeout=DEADLINE))
            except (OSError, ValueError):
                self.shop.closing.wait(0.05)

    def follow(self, client):
        subscription = None
        try:
            client.socket.settimeout(60)
            while (item := client.next()) is not None:
                if subscription is None:
                    subscription = Subscription()
                    self.subscriptions.append(subscription)
                else:
                    subscription.got.append(item["order"] if self.topic == "orders" else (item["payment"], item["state"]))
        finally:
            if subscription:
                subscription.open = False
            client.close()


class DeafSubscriber(Customer):
    """Follows a topic and reads nothing of it, until it is thrown out."""

    def run(self):
        while not self.shop.closing.is_set():
            try:
                client = WebSocket(self.shop.program.address, "/news/orders", receive_buffer=2048)
            except (OSError, ValueError):
                self.shop.closing.wait(0.1)
                continue
            # A reset shows as an error or a hang-up without any byte being read.
            while not self.shop.closing.wait(0.2):
                if client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    break
                try:
                    client.socket.send(b"\x8a\x80abcd")  # an empty pong: fails when the other side has hung up
                except OSError:
                    break
            client.close()
