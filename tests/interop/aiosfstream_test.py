"""aiosfstream-ng against the emulator: the Streaming API by long polling."""

import asyncio
import unittest

import aiohttp
from aiosfstream_ng import Client, PasswordAuthenticator, ReplayOption
from aiosfstream_ng.exceptions import AuthenticationError, ServerError

from emulator import Emulator

VERSION = "62.0"
LONG_ENOUGH = 20


class Test(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("--org", "one", "--bus-delay", "0s")
        # The client keeps no cookies of hosts that are numbers.
        cls.base = cls.emulator["ONE_URL"].replace("127.0.0.1", "localhost")

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_exception_handler(ignore_cancellation)
        self.http = await self.enterAsyncContext(aiohttp.ClientSession(raise_for_status=True))

    def login(self, password="emulator1TOKEN"):
        base = self.base

        class Login(PasswordAuthenticator):
            """The client only knows login.salesforce.com."""

            _token_url = f"{base}/services/oauth2/token"

        return Login(self.emulator["ONE_KEY"], self.emulator["ONE_SECRET"], "olga@one.example.com", password)

    async def control(self, path, **body):
        async with self.http.post(f"{self.base}/emulator/{path}", json=body):
            pass

    async def create(self, login, sobject, **fields):
        url = f"{login.instance_url}/services/data/v{VERSION}/sobjects/{sobject}"
        headers = {"Authorization": f"Bearer {login.access_token}"}
        async with self.http.post(url, json=fields, headers=headers) as answer:
            return (await answer.json())["id"]

    async def next(self, client):
        message = await asyncio.wait_for(client.receive(), LONG_ENOUGH)
        return message["channel"], message["data"]

    async def next_record(self, client):
        return (await self.next(client))[1]["payload"]["ChangeEventHeader"]["recordIds"][0]

    async def test_a_wrong_password_is_refused(self):
        with self.assertRaisesRegex(AuthenticationError, "authentication failure"):
            async with Client(self.login("wrong")):
                pass

    async def test_changes_come_in_order_and_each_on_its_channel(self):
        login = self.login()
        async with Client(login, replay=ReplayOption.NEW_EVENTS) as client:
            await client.subscribe("/data/AccountChangeEvent")
            await client.subscribe("/data/ContactChangeEvent")
            account = await self.create(login, "Account", Name="Acme")
            contact = await self.create(login, "Contact", LastName="Roe")
            first, second = await self.next(client), await self.next(client)
            self.assertEqual([first[0], second[0]], ["/data/AccountChangeEvent", "/data/ContactChangeEvent"])
            header = first[1]["payload"]["ChangeEventHeader"]
            self.assertEqual((header["changeType"], header["recordIds"]), ("CREATE", [account]))
            self.assertEqual(second[1]["payload"]["ChangeEventHeader"]["recordIds"], [contact])
            self.assertLess(first[1]["event"]["replayId"], second[1]["event"]["replayId"])
            await client.unsubscribe("/data/AccountChangeEvent")
            await self.create(login, "Account", Name="Unheard")
            last = await self.create(login, "Contact", LastName="Doe")
            self.assertEqual(await self.next_record(client), last)

    async def test_platform_events_come_with_their_fields(self):
        login = self.login()
        async with Client(login) as client:
            await client.subscribe("/event/Order_Shipped__e")
            await self.create(login, "Order_Shipped__e", Order_Number__c="7", Quantity__c=2)
            payload = (await self.next(client))[1]["payload"]
            self.assertEqual((payload["Order_Number__c"], payload["Quantity__c"]), ("7", 2))

    async def test_what_was_missed_comes_after_the_last_event_that_was_seen(self):
        login = self.login()
        seen = {}
        async with Client(login, replay=seen) as client:
            await client.subscribe("/data/LeadChangeEvent")
            lead = await self.create(login, "Lead", LastName="seen", Company="A")
            self.assertEqual(await self.next_record(client), lead)
        missed = [await self.create(login, "Lead", LastName=f"missed {n}", Company="A") for n in range(3)]
        async with Client(login, replay=seen) as client:
            await client.subscribe("/data/LeadChangeEvent")
            self.assertEqual([await self.next_record(client) for _ in missed], missed)
        async with Client(login, replay=ReplayOption.ALL_EVENTS) as client:
            await client.subscribe("/data/LeadChangeEvent")
            self.assertEqual([await self.next_record(client) for _ in range(4)], [lead, *missed])

    async def test_a_dropped_session_is_taken_up_again_without_loss(self):
        login = self.login()
        seen = {}
        async with Client(login, replay=seen) as client:
            await client.subscribe("/data/CaseChangeEvent")
            before = await self.create(login, "Case", Subject="before")
            self.assertEqual(await self.next_record(client), before)
            await self.control("faults", drop_sessions=True)
            after = await self.create(login, "Case", Subject="after")
            self.assertEqual(await self.next_record(client), after)

    async def test_a_channel_that_is_none_is_refused(self):
        async with Client(self.login()) as client:
            with self.assertRaises(ServerError) as caught:
                await client.subscribe("/data/Nothing__ChangeEvent")
            text = "400::The channel you requested to subscribe to doesn't exist {/data/Nothing__ChangeEvent}"
            self.assertEqual(caught.exception.response["error"], text)
            self.assertFalse(client.subscriptions)


def ignore_cancellation(loop, context):
    """The client cancels its connect when it closes, and lets the loop complain."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


if __name__ == "__main__":
    unittest.main()
