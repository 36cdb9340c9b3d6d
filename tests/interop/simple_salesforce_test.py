"""simple-salesforce against the emulator, over TLS."""

import base64
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceGeneralError, SalesforceLogin, format_soql
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

from emulator import Emulator

PASSWORD = "emulator1"
TOKEN = "TOKEN"
KEYS = Path(__file__).parents[2] / "src/emulator/tests/oauth"


class ToLocalhost(HTTPAdapter):
    """The client only knows hosts of salesforce.com; this is where they are."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def send(self, request, **options):
        host = request.url.split("/", 3)[2]
        request.url = request.url.replace(f"https://{host}", self.base, 1)
        return super().send(request, **options)


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("--org", "one", "--tls", "--login-port", "0", "--bus-delay", "0s")
        cls.base = cls.emulator["ONE_URL"]

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def session(self):
        session = requests.Session()
        session.trust_env = False
        session.verify = self.emulator["EMULATOR_CA"]
        session.mount("https://one.my.salesforce.com", ToLocalhost(self.base))
        session.mount("https://login.salesforce.com", ToLocalhost(self.emulator["EMULATOR_LOGIN_URL"]))
        self.addCleanup(session.close)
        return session

    def client(self, **options):
        return Salesforce(
            consumer_key=self.emulator["ONE_KEY"],
            consumer_secret=self.emulator["ONE_SECRET"],
            domain="one.my",
            session=self.session(),
            version=options.get("version", "62.0"),
        )

    def control(self, method, path, **options):
        answer = self.session().request(method, f"{self.base}/emulator/{path}", **options)
        answer.raise_for_status()
        return answer.json()

    def refusal(self, error, call):
        """The status, the code and the message of a call that fails."""
        with self.assertRaises(error) as caught:
            call()
        first = caught.exception.content[0]
        return caught.exception.status, first["errorCode"], first["message"]

    def test_client_credentials_give_a_session_on_the_base_that_was_called(self):
        client = self.client()
        self.assertEqual(f"https://{client.sf_instance}", self.base)
        self.assertTrue(client.session_id.startswith("00D"))
        self.assertIn("!", client.session_id)

    def test_a_wrong_secret_and_an_unknown_key_are_refused_by_name(self):
        for key, secret, code in [
            (self.emulator["ONE_KEY"], "wrong", "invalid_client"),
            ("unknown", "secret", "invalid_client_id"),
        ]:
            with self.assertRaises(SalesforceAuthenticationFailed) as caught:
                Salesforce(consumer_key=key, consumer_secret=secret, domain="one.my", session=self.session())
            self.assertEqual(caught.exception.code, code)

    def test_a_password_logs_in_by_soap_and_by_oauth(self):
        for options in [
            {"security_token": TOKEN},
            {"consumer_key": self.emulator["ONE_KEY"], "consumer_secret": self.emulator["ONE_SECRET"]},
        ]:
            client = Salesforce(
                username="olga@one.example.com", password=PASSWORD, domain="one.my", session=self.session(), **options
            )
            self.assertEqual(client.query("SELECT COUNT() FROM Organization")["totalSize"], 1)

    def test_a_password_logs_in_at_the_shared_login_host(self):
        session_id, instance = SalesforceLogin(
            username="olga@one.example.com", password=PASSWORD, security_token=TOKEN, session=self.session()
        )
        self.assertEqual(f"https://{instance}", self.base)
        client = Salesforce(session_id=session_id, instance=instance, session=self.session())
        self.assertEqual(client.query("SELECT COUNT() FROM Organization")["totalSize"], 1)

    def test_a_signed_assertion_logs_in(self):
        apps = self.control("GET", "apps")
        self.addCleanup(self.control, "POST", "apps", json=apps)
        certificate = (KEYS / "client_certificate.pem").read_text()
        username = "integration@one.example.com"
        approved = {"permitted_users": "admin_approved", "approved_users": [username], "certificate": certificate}
        self.control("POST", "apps", json=[{**app, **approved} for app in apps])
        signed = {"consumer_key": self.emulator["ONE_KEY"], "privatekey_file": str(KEYS / "client_key.pem")}
        client = Salesforce(username=username, session=self.session(), **signed)
        self.assertEqual(f"https://{client.sf_instance}", self.base)
        self.assertEqual(client.query("SELECT COUNT() FROM Organization")["totalSize"], 1)
        with self.assertRaises(SalesforceAuthenticationFailed) as caught:
            Salesforce(username="olga@one.example.com", session=self.session(), **signed)
        self.assertIn("user is not admin approved to access this app", str(caught.exception))

    def test_a_wrong_password_is_refused(self):
        with self.assertRaises(SalesforceAuthenticationFailed) as caught:
            Salesforce(
                username="olga@one.example.com", password="no", security_token="", domain="one.my", session=self.session()
            )
        self.assertEqual(caught.exception.code, "INVALID_LOGIN")

    def test_an_expired_session_is_renewed_by_the_client_and_a_given_one_is_not(self):
        client = self.client()
        given = Salesforce(session_id=client.session_id, instance_url=self.base, session=self.session())
        self.control("POST", "faults", json={"expire_tokens": True})
        with self.assertRaises(SalesforceExpiredSession) as caught:
            given.query("SELECT Id FROM Account")
        self.assertEqual(caught.exception.content[0]["errorCode"], "INVALID_SESSION_ID")
        self.assertIn("records", client.query("SELECT Id FROM Account LIMIT 1"))

    def test_describes_tell_what_can_be_done(self):
        client = self.client()
        names = [sobject["name"] for sobject in client.describe()["sobjects"]]
        for name in ["Account", "Contact", "Lead", "Case", "Task", "User", "Group", "RecordType", "Invoice__c"]:
            self.assertIn(name, names)
        described = client.Account.describe()
        fields = {field["name"]: field for field in described["fields"]}
        self.assertEqual((fields["Name"]["type"], fields["Name"]["length"]), ("string", 255))
        self.assertTrue(fields["Source_Id__c"]["externalId"] and fields["Source_Id__c"]["idLookup"])
        self.assertEqual(fields["ParentId"]["referenceTo"], ["Account"])
        self.assertIn("Contacts", [child["relationshipName"] for child in described["childRelationships"]])
        self.assertEqual(client.Account.metadata()["objectDescribe"]["keyPrefix"], "001")

    def test_a_record_lives_through_create_read_update_upsert_and_delete(self):
        client = self.client()
        made = client.Account.create({"Name": "Müller & Söhne", "BillingCity": "Köln"})
        self.assertTrue(made["success"])
        record = client.Account.get(made["id"])
        self.assertEqual((record["Name"], record["BillingAddress"]["city"]), ("Müller & Söhne", "Köln"))
        self.assertEqual(client.Account.get(made["id"][:15])["Id"], made["id"])
        self.assertEqual(client.Account.update(made["id"], {"Phone": "1"}), 204)
        self.assertEqual(client.Account.upsert("Source_Id__c/simple 1", {"Name": "New"}), 201)
        self.assertEqual(client.Account.upsert("Source_Id__c/simple 1", {"Name": "Newer"}), 200)
        self.assertEqual(client.Account.get_by_custom_id("Source_Id__c", "simple 1")["Name"], "Newer")
        self.assertEqual(client.Account.delete(made["id"]), 204)
        status, code, message = self.refusal(SalesforceResourceNotFound, lambda: client.Account.delete(made["id"]))
        self.assertEqual((status, code, message), (404, "ENTITY_IS_DELETED", "entity is deleted"))

    def test_queries_come_in_pages(self):
        client = self.client()
        records = [{"LastName": f"Page {n}"} for n in range(2_100)]
        for start in range(0, len(records), 200):
            body = {"records": [{"attributes": {"type": "Contact"}, **record} for record in records[start : start + 200]]}
            results = client.restful("composite/sobjects", method="POST", json=body)
            self.assertTrue(all(result["success"] for result in results))
        soql = "SELECT Id, LastName FROM Contact WHERE LastName LIKE 'Page %' ORDER BY CreatedDate"
        first = client.query(soql)
        self.assertEqual((first["totalSize"], first["done"], len(first["records"])), (2_100, False, 2_000))
        second = client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
        self.assertEqual((second["done"], len(second["records"])), (True, 100))
        self.assertEqual(len(client.query_all(soql)["records"]), 2_100)
        self.assertEqual(sum(1 for _ in client.query_all_iter(soql)), 2_100)

    def test_soql_with_what_people_write(self):
        client = self.client()
        account = client.Account.create({"Name": "SOQL 'quoted'", "NumberOfEmployees": 12})["id"]
        client.Contact.create({"LastName": "Child", "AccountId": account})
        found = client.query(format_soql("SELECT Id FROM Account WHERE Name = {}", "SOQL 'quoted'"))
        self.assertEqual(found["records"][0]["Id"], account)
        soql = "SELECT Name, (SELECT LastName FROM Contacts), Owner.Name FROM Account WHERE Id = '%s'" % account
        row = client.query(soql)["records"][0]
        self.assertEqual(row["Contacts"]["records"][0]["LastName"], "Child")
        self.assertTrue(row["Owner"]["Name"])
        soql = "SELECT COUNT(Id) n FROM Contact WHERE AccountId = '%s'" % account
        self.assertEqual(client.query(soql)["records"][0]["n"], 1)
        self.assertGreater(client.query("SELECT Id FROM Account WHERE CreatedDate = TODAY")["totalSize"], 0)
        client.Account.delete(account)
        self.assertEqual(client.query("SELECT Id FROM Account WHERE Id = '%s'" % account)["totalSize"], 0)
        deleted = client.query("SELECT IsDeleted FROM Account WHERE Id = '%s'" % account, include_deleted=True)
        self.assertTrue(deleted["records"][0]["IsDeleted"])

    def test_collections_name_each_record_that_failed(self):
        client = self.client()
        records = [{"LastName": "A", "Source_Id__c": "ss-1"}, {"FirstName": "no last name", "Source_Id__c": "ss-2"}]
        body = {"allOrNone": False, "records": [{"attributes": {"type": "Contact"}, **record} for record in records]}
        good, bad = client.restful("composite/sobjects/Contact/Source_Id__c", method="PATCH", json=body)
        self.assertEqual((good["success"], good["created"]), (True, True))
        self.assertFalse(bad["success"])
        self.assertEqual(
            bad["errors"],
            [
                {
                    "statusCode": "REQUIRED_FIELD_MISSING",
                    "message": "Required fields are missing: [LastName]",
                    "fields": ["LastName"],
                }
            ],
        )
        results = client.restful("composite/sobjects", params={"ids": good["id"]}, method="DELETE")
        self.assertTrue(results[0]["success"])

    def test_errors_are_those_of_the_platform(self):
        client = self.client()
        account = client.Account.create({"Name": "E"})["id"]
        for call, error, expected in [
            (
                lambda: client.Account.create({"Foo__c": 1, "Name": "x"}),
                SalesforceMalformedRequest,
                (400, "INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account"),
            ),
            (
                lambda: client.Account.update(account, {"Rating": "Tepid"}),
                SalesforceMalformedRequest,
                (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Account Rating: bad value for restricted picklist field: Tepid"),
            ),
            (
                lambda: client.Nope.get("001000000000001"),
                SalesforceResourceNotFound,
                (404, "NOT_FOUND", "The requested resource does not exist"),
            ),
            (
                lambda: client.Contact.create({"LastName": "x", "Account": {"Source_Id__c": "nope"}}),
                SalesforceMalformedRequest,
                (400, "INVALID_FIELD", "Foreign key external ID: nope not found for field Source_Id__c in entity Account"),
            ),
        ]:
            self.assertEqual(self.refusal(error, call), expected)
        status, code, _ = self.refusal(SalesforceMalformedRequest, lambda: client.query("SELECT Id FORM Account"))
        self.assertEqual((status, code), (400, "MALFORMED_QUERY"))

    def test_an_external_id_that_two_records_have_is_told_with_both(self):
        client = self.client()
        urls = [client.Invoice__c.create({"Ext_Number__c": 77})["id"] for _ in range(2)]
        with self.assertRaises(SalesforceMoreThanOneRecord) as caught:
            client.Invoice__c.upsert("Ext_Number__c/77", {"Text__c": "x"})
        self.assertEqual([url.rsplit("/", 1)[1] for url in caught.exception.content], urls)

    def test_changes_and_deletions_of_a_time_can_be_asked_for(self):
        client = self.client()
        kept, gone = (client.Lead.create({"LastName": name, "Company": "x"})["id"] for name in ["kept", "gone"])
        client.Lead.delete(gone)
        end = datetime.now(timezone.utc) + timedelta(minutes=2)
        start = end - timedelta(hours=1)
        self.assertIn(kept, client.Lead.updated(start, end)["ids"])
        self.assertIn(gone, [record["id"] for record in client.Lead.deleted(start, end)["deletedRecords"]])

    def test_limits_and_usage_are_told(self):
        client = self.client()
        self.assertEqual(client.limits()["DailyApiRequests"]["Max"], 100_000)
        self.assertEqual(client.api_usage["api-usage"].total, 100_000)

    def test_apex_rest_lists_creates_and_updates_accounts(self):
        client = self.client()
        client.apexecute("accounts", method="POST", data={"name": "Apex", "phone": "1", "industry": "Media"})
        found = [row for row in client.apexecute("accounts", method="GET") if row["name"] == "Apex"]
        self.assertEqual((found[0]["phone"], found[0]["industry"]), ("1", "Media"))
        client.apexecute("accounts", method="PATCH", data={"id": found[0]["id"], "phone": "2"})
        self.assertEqual(client.Account.get(found[0]["id"])["Phone"], "2")

    def test_tooling_names_the_channel_members(self):
        client = self.client()
        found = client.toolingexecute(
            "query/", params={"q": "SELECT SelectedEntity FROM PlatformEventChannelMember"}
        )
        self.assertIn("AccountChangeEvent", [row["SelectedEntity"] for row in found["records"]])

    def test_old_and_new_versions_answer_alike(self):
        for version in ["31.0", "44.0", "59.0", "66.0"]:
            client = self.client(version=version)
            made = client.Account.create({"Name": version})["id"]
            self.assertEqual(client.Account.get(made)["Name"], version)
        old = self.client(version="45.0")
        self.assertEqual(old.Account.upsert("Source_Id__c/versions", {"Name": "v"}), 201)
        self.assertEqual(old.Account.upsert("Source_Id__c/versions", {"Name": "v"}), 204)

    def test_a_version_that_is_gone_is_refused(self):
        with self.assertRaises(SalesforceGeneralError) as caught:
            self.client(version="30.0").query("SELECT Id FROM Account")
        self.assertEqual(caught.exception.status, 410)

    def test_basic_credentials_are_what_is_sent(self):
        key, secret = self.emulator["ONE_KEY"], self.emulator["ONE_SECRET"]
        basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
        answer = self.session().post(
            f"{self.base}/services/oauth2/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        ).json()
        self.assertEqual(answer["instance_url"], self.base)
        self.assertNotIn("expires_in", answer)
        self.assertNotIn("refresh_token", answer)


if __name__ == "__main__":
    unittest.main()
