"""Bulk API 2.0 by simple-salesforce, over TLS."""

import csv
import io
import unittest

import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceOperationError

from emulator import Emulator
from simple_salesforce_test import ToLocalhost

# Seconds between two looks at a job.
OFTEN = 0.05


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


class BulkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.emulator = Emulator("--org", "one", "--tls", "--bus-delay", "0s")

    @classmethod
    def tearDownClass(cls):
        cls.emulator.stop()

    def setUp(self):
        session = requests.Session()
        session.trust_env = False
        session.verify = self.emulator["EMULATOR_CA"]
        session.mount("https://one.my.salesforce.com", ToLocalhost(self.emulator["ONE_URL"]))
        self.addCleanup(session.close)
        key, secret = self.emulator["ONE_KEY"], self.emulator["ONE_SECRET"]
        client = Salesforce(consumer_key=key, consumer_secret=secret, domain="one.my", session=session, version="66.0")
        self.accounts = client.bulk2.Account

    def test_records_go_in_and_come_out_and_what_failed_is_told(self):
        note = 'one\ntwo, "three"'
        records = [{"Source_Id__c": f"b{n}", "Name": f"Bulk {n}", "Description": note} for n in range(450)]
        records.append({"Source_Id__c": "none", "Name": "", "Description": ""})
        [result] = self.accounts.upsert(records=records, external_id_field="Source_Id__c", wait=OFTEN)
        self.assertEqual((result["numberRecordsProcessed"], result["numberRecordsFailed"]), (451, 1))
        done = rows(self.accounts.get_successful_records(result["job_id"]))
        self.assertEqual((len(done), {row["sf__Created"] for row in done}), (450, {"true"}))
        self.assertEqual({row["Description"] for row in done}, {note})
        [failed] = rows(self.accounts.get_failed_records(result["job_id"]))
        self.assertEqual(failed["Source_Id__c"], "none")
        self.assertEqual(failed["sf__Error"], "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --")
        self.assertEqual(rows(self.accounts.get_unprocessed_records(result["job_id"])), [])

        query = "SELECT Id, Name, Owner.Username FROM Account WHERE Name LIKE 'Bulk%'"
        pages = [rows(page) for page in self.accounts.query(query, max_records=200, wait=OFTEN)]
        self.assertEqual([len(page) for page in pages], [200, 200, 50])
        found = [row for page in pages for row in page]
        self.assertEqual(len({row["Name"] for row in found}), 450)
        self.assertEqual({row["Owner.Username"] for row in found}, {"integration@one.example.com"})

        [gone] = self.accounts.delete(records=[{"Id": row["Id"]} for row in found], wait=OFTEN)
        self.assertEqual((gone["numberRecordsProcessed"], gone["numberRecordsFailed"]), (450, 0))
        query = "SELECT Id FROM Account WHERE Name LIKE 'Bulk%'"
        self.assertEqual(list(self.accounts.query(query, wait=OFTEN)), ['"Id"\n'])
        self.assertEqual(sum(len(rows(page)) for page in self.accounts.query_all(query, wait=OFTEN)), 450)

    def test_a_job_that_fails_raises_its_message(self):
        with self.assertRaises(SalesforceOperationError) as caught:
            self.accounts.insert(records=[{"Name": "A", "Foo__c": "1"}], wait=OFTEN)
        self.assertIn("InvalidBatch : Field name not found : Foo__c", str(caught.exception))

    def test_what_a_bulk_query_cannot_have_is_refused(self):
        with self.assertRaises(SalesforceMalformedRequest):
            list(self.accounts.query("SELECT COUNT() FROM Account", wait=OFTEN))


if __name__ == "__main__":
    unittest.main()
