"""AWS on one port of the loopback, for Terraform to deploy into: moto, plus the few calls it does not know.

    python aws_emulator.py PORT     prints "listening" when it is ready; ends with the process that started it

Each class below says which gap of moto it closes. What cannot be closed here is excluded by name in the test.
"""

import json
import os
import re
import sys
import threading
import uuid

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # nothing here asks the machine that it runs on for credentials
os.environ.setdefault("MOTO_ACM_VALIDATION_WAIT", "1")  # seconds until a certificate is valid
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")  # read when moto is imported

from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.utils import camelcase_to_underscores
from moto.efs.models import efs_backends
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.iam.models import SERVICE_NAME_CONVERSION, iam_backends
from moto.kms.models import kms_backends
from moto.route53 import models as route53_models
from moto.resourcegroupstaggingapi.models import resourcegroupstaggingapi_backends
from moto.s3.models import FakeDeleteMarker, s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


# moto reads it as well, for each call.
ACCOUNT_ID = os.environ["MOTO_ACCOUNT_ID"]


def answer(value, status=200):
    return Response(json.dumps(value), status=status, content_type="application/json")


def statement_applies_only_under_its_condition():
    """Bucket policies: moto takes a condition that does not hold for a denial, so "deny without TLS" denies everything."""
    decide = IAMPolicyStatement.is_action_permitted

    def conditional(self, action, resource="*", principal=None, incoming_condition_values=None):
        # What moto knows of a request is not what conditions ask for: TLS, the caller's account, ARNs.
        if "Condition" in self._statement and not incoming_condition_values:
            return PermissionResult.NEUTRAL
        return decide(self, action, resource, principal, incoming_condition_values)

    IAMPolicyStatement.is_action_permitted = conditional


def rule_between_groups_has_a_description():
    """EC2: moto reads the description of a security group rule from its address range, which such a rule has not."""
    SecurityGroupRule.description = property(
        lambda rule: rule.ip_range.get("Description") or rule.source_group.get("Description")
    )


def service_remembers_how_it_was_created():
    """ECS: moto forgets these arguments of CreateService, so every plan would replace the service."""
    create = EC2ContainerServiceResponse.create_service
    forgotten = (
        "availabilityZoneRebalancing",
        "capacityProviderStrategy",
        "deploymentConfiguration",
        "enableECSManagedTags",
        "enableExecuteCommand",
        "healthCheckGracePeriodSeconds",
    )

    def remembering(self):
        result = create(self)
        service = result.result["service"]
        for name in forgotten:
            value = self._get_param(name)
            if value is not None:
                setattr(service, camelcase_to_underscores(name), value)
        if self._get_param("capacityProviderStrategy"):
            service.launch_type = None
        return result

    EC2ContainerServiceResponse.create_service = remembering


# Digest of an image whose tasks never start.
NEVER_STARTS = "sha256:" + "f" * 64


def service_is_steady_or_goes_back():
    """ECS: moto's services start no task, and their deployments stay as they were made. Here tasks run at once; those of
    NEVER_STARTS never do, and the service goes back to what it ran before, as a circuit breaker with rollback has it."""
    create, update = EC2ContainerServiceResponse.create_service, EC2ContainerServiceResponse.update_service

    def starts(response, definition):
        return NEVER_STARTS not in json.dumps(
            [container.get("image") for container in response.ecs_backend.describe_task_definition(definition).container_definitions]
        )

    def settle(service):
        service.running_count, service.pending_count = service.desired_count, 0
        service.deployments[0].update(
            desiredCount=service.desired_count,
            runningCount=service.desired_count,
            pendingCount=0,
            rolloutState="COMPLETED",
            taskDefinition=service.task_definition,
        )

    def creating(self):
        result = create(self)
        settle(result.result["service"])
        return result

    def updating(self):
        cluster, name = self._get_param("cluster", "default"), self._get_param("service")
        before = self.ecs_backend.describe_services(cluster, [name])[0][0].task_definition
        result = update(self)
        service = result.result["service"]
        if not starts(self, service.task_definition):
            service.task_definition = before
        settle(service)
        return result

    EC2ContainerServiceResponse.create_service = creating
    EC2ContainerServiceResponse.update_service = updating


def hosted_zone_has_an_id_as_in_aws():
    """Route 53: ids of zones begin with Z, and those of moto with anything."""
    make = route53_models.create_route53_zone_id
    route53_models.create_route53_zone_id = lambda *args, **named: "Z" + make(*args, **named)[1:]


def service_linked_roles_have_their_names():
    """IAM: moto writes most services as they are in their address."""
    SERVICE_NAME_CONVERSION.update({"ecs": "ECS", "kafka": "Kafka"})


def delete_marker_can_be_deleted():
    """S3: moto disposes of every version that DeleteObjects names, and a delete marker has nothing to dispose of."""
    FakeDeleteMarker.dispose = lambda marker, garbage=False: None


class FileSystems:
    """EFS: PutBackupPolicy, where moto only says that there is none, and DeleteFileSystemPolicy, which it does not know."""

    def __init__(self):
        self.policies = {}

    def __call__(self, request):
        found = re.fullmatch(r"/2015-02-01/file-systems/([^/]+)/policy", request.path)
        if found and request.method == "DELETE":
            region = request.headers["Authorization"].split("/")[2]
            efs_backends[ACCOUNT_ID][region].file_systems_by_id[found[1]].file_system_policy = None
            return answer({})
        found = re.fullmatch(r"/2015-02-01/file-systems/([^/]+)/backup-policy", request.path)
        if found is None:
            return None
        if request.method == "PUT":
            self.policies[found[1]] = request.get_json()["BackupPolicy"]
        return answer({"BackupPolicy": self.policies.get(found[1], {"Status": "DISABLED"})})


class Budgets:
    """Budgets: moto returns budgets without most of what was set. The calls that Terraform uses."""

    def __init__(self):
        self.budgets = {}

    def __call__(self, request):
        service, _, action = request.headers.get("X-Amz-Target", "").partition(".")
        if service != "AWSBudgetServiceGateway":
            return None
        body = request.get_json(force=True)
        if action == "ListTagsForResource":
            name = body["ResourceARN"].split("budget/")[-1]
            return answer({"ResourceTags": self.budgets.get(name, {}).get("tags", [])})
        if action == "CreateBudget":
            budget = body["Budget"]
            budget.setdefault("CostTypes", {"IncludeTax": True, "IncludeSubscription": True, "UseBlended": False,
                                            "IncludeRefund": True, "IncludeCredit": True, "IncludeUpfront": True,
                                            "IncludeRecurring": True, "IncludeOtherSubscription": True,
                                            "IncludeSupport": True, "IncludeDiscount": True, "UseAmortized": False})
            budget.setdefault("TimePeriod", {"Start": 1_767_225_600, "End": 3_706_473_600})
            subscribed = [(entry["Notification"], entry["Subscribers"])
                          for entry in body.get("NotificationsWithSubscribers", [])]
            self.budgets[budget["BudgetName"]] = {"budget": budget, "notifications": subscribed,
                                                  "tags": body.get("ResourceTags", [])}
            return answer({})
        known = self.budgets.get(body.get("BudgetName") or body.get("NewBudget", {}).get("BudgetName"))
        if known is None:
            return answer({"__type": "NotFoundException", "Message": "no such budget"}, 400)
        if action == "DescribeBudget":
            return answer({"Budget": known["budget"]})
        if action == "UpdateBudget":
            known["budget"].update(body["NewBudget"])
            return answer({})
        if action == "DeleteBudget":
            del self.budgets[body["BudgetName"]]
            return answer({})
        if action == "CreateNotification":
            known["notifications"].append((body["Notification"], body["Subscribers"]))
            return answer({})
        if action == "DeleteNotification":
            gone = body["Notification"]["NotificationType"]
            known["notifications"] = [each for each in known["notifications"] if each[0]["NotificationType"] != gone]
            return answer({})
        if action == "DescribeNotificationsForBudget":
            return answer({"Notifications": [notification for notification, _ in known["notifications"]]})
        if action == "DescribeSubscribersForNotification":
            same = [who for notification, who in known["notifications"]
                    if notification["NotificationType"] == body["Notification"]["NotificationType"]]
            return answer({"Subscribers": same[0] if same else []})
        return answer({"__type": "UnknownOperation", "Message": f"not emulated: {action}"}, 501)


class ServiceQuotas:
    """service-quotas: moto knows those of networks only. A new account's, and what is asked for is given at once."""

    def __init__(self):
        self.quotas = {"L-0263D0A3": 5.0, "L-3032A538": 6.0}

    def __call__(self, request):
        service, _, action = request.headers.get("X-Amz-Target", "").partition(".")
        if service != "ServiceQuotasV20190624":
            return None
        body = request.get_json(force=True)
        code = body["QuotaCode"]
        if action == "RequestServiceQuotaIncrease":
            self.quotas[code] = body["DesiredValue"]
            return answer({"RequestedQuota": {"QuotaCode": code, "DesiredValue": self.quotas[code]}})
        if code not in self.quotas:
            return answer({"__type": "NoSuchResourceException", "Message": "no such quota"}, 400)
        return answer({"Quota": {"QuotaCode": code, "Value": self.quotas[code]}})


class AlertManager:
    """Managed Prometheus: moto knows workspaces and rules, not the definition of the alert manager."""

    def __init__(self):
        self.definitions = {}

    def __call__(self, request):
        found = re.fullmatch(r"/workspaces/([^/]+)/alertmanager/definition", request.path)
        if found is None:
            return None
        workspace = found[1]
        if request.method in ("POST", "PUT"):
            self.definitions[workspace] = request.get_json()["data"]
            return answer({"status": {"statusCode": "ACTIVE"}}, 202)
        if workspace not in self.definitions:
            response = answer({"message": "not found", "resourceId": workspace, "resourceType": "definition"}, 404)
            response.headers["x-amzn-ErrorType"] = "ResourceNotFoundException"
            return response
        if request.method == "DELETE":
            del self.definitions[workspace]
            return answer({}, 202)
        return answer({"alertManagerDefinition": {"data": self.definitions[workspace],
                                                  "status": {"statusCode": "ACTIVE"},
                                                  "createdAt": 1_767_225_600, "modifiedAt": 1_767_225_600}})


class AutoscalingTags:
    """application-autoscaling: tags of a scalable target; without ListTagsForResource Terraform asks for ever."""

    def __init__(self):
        self.tags = tags = {}
        register = ApplicationAutoScalingResponse.register_scalable_target

        def remembering(self):
            result = register(self)
            arn = json.loads(result)["ScalableTargetARN"]
            tags.setdefault(arn, {}).update(self._get_param("Tags") or {})
            return result

        ApplicationAutoScalingResponse.register_scalable_target = remembering

    def __call__(self, request):
        service, _, action = request.headers.get("X-Amz-Target", "").partition(".")
        if service != "AnyScaleFrontendService" or not action.endswith("Resource"):
            return None
        body = request.get_json(force=True)
        tags = self.tags.setdefault(body["ResourceARN"], {})
        if action == "TagResource":
            tags.update(body["Tags"])
        if action == "UntagResource":
            for key in body["TagKeys"]:
                tags.pop(key, None)
        return answer({"Tags": tags} if action == "ListTagsForResource" else {})


class Kafka:
    """MSK: moto has no configurations and no brokers, and its clusters stay CREATING. The whole API that Terraform uses."""

    def __init__(self):
        self.lock = threading.Lock()
        self.clusters = {}
        self.configurations = {}

    def __call__(self, request):
        path = request.path.replace("%3A", ":").replace("%2F", "/")
        if "kafka" not in request.headers.get("Authorization", "").split("/aws4_request")[0].split("/")[-1]:
            return None
        with self.lock:
            return self.route(request.method, path, request)

    def route(self, method, path, request):
        body = request.get_json(silent=True) or {}
        region = request.headers["Authorization"].split("/")[2]
        account = ACCOUNT_ID
        if path == "/v1/configurations" and method == "POST":
            arn = f"arn:aws:kafka:{region}:{account}:configuration/{body['name']}/{uuid.uuid4()}"
            self.configurations[arn] = {
                "arn": arn,
                "name": body["name"],
                "kafkaVersions": body.get("kafkaVersions", []),
                "description": body.get("description", ""),
                "creationTime": "2026-01-01T00:00:00Z",
                "latestRevision": {"revision": 1, "creationTime": "2026-01-01T00:00:00Z"},
                "state": "ACTIVE",
                "serverProperties": body["serverProperties"],
            }
            return answer(self.configurations[arn])
        found = re.fullmatch(r"/v1/configurations/(arn:[^/]+/[^/]+/[^/]+)(/revisions/(\d+))?", path)
        if found:
            arn = found[1]
            if arn not in self.configurations:
                # The words that the provider takes for "it is gone".
                return self.missing("BadRequestException", "Configuration ARN does not exist", 400)
            if method == "DELETE":
                del self.configurations[arn]
                return answer({"arn": arn, "state": "DELETING"})
            known = self.configurations[arn]
            if found[2]:
                return answer({"arn": arn, "revision": int(found[3]), "serverProperties": known["serverProperties"]})
            return answer({key: value for key, value in known.items() if key != "serverProperties"})
        if path == "/v1/tags" or path.startswith("/v1/tags/"):
            cluster = self.clusters.get(path.removeprefix("/v1/tags/"), {})
            if method == "POST":
                cluster.setdefault("tags", {}).update(body.get("tags", {}))
            return answer({"tags": cluster.get("tags", {})})
        if path in ("/v1/clusters", "/api/v2/clusters") and method == "POST":
            arn = f"arn:aws:kafka:{region}:{account}:cluster/{body['clusterName']}/{uuid.uuid4()}-1"
            details = body.get("provisioned", body)
            self.clusters[arn] = {"name": body["clusterName"], "details": details, "tags": body.get("tags", {})}
            return answer({"clusterArn": arn, "clusterName": body["clusterName"], "state": "CREATING"})
        found = re.fullmatch(r"/(?:api/v2|v1)/operations/(arn:.+)", path)
        if found:
            # Takes a quarter of an hour in AWS.
            info = {"clusterOperationArn": found[1], "operationState": "UPDATE_COMPLETE", "operationType": "UPDATE"}
            return answer({"clusterOperationInfo": info})
        found = re.fullmatch(r"/(?:api/v2|v1)/clusters/(arn:[^/]+/[^/]+/[^/]+)(/.*)?", path)
        if found is None:
            return answer({"message": f"not emulated: {method} {path}"}, 501)
        arn, rest = found[1], found[2] or ""
        if arn not in self.clusters:
            return self.missing()
        cluster = self.clusters[arn]
        if method == "DELETE" and rest == "":
            del self.clusters[arn]
            return answer({"clusterArn": arn, "state": "DELETING"})
        if method == "PUT" and rest in ("/nodes/type", "/configuration"):
            if rest == "/nodes/type":
                cluster["details"]["brokerNodeGroupInfo"]["instanceType"] = body["targetInstanceType"]
            else:
                cluster["details"]["configurationInfo"] = body["configurationInfo"]
            operation = arn.replace(":cluster/", ":cluster-operation/") + f"/{uuid.uuid4()}"
            return answer({"clusterArn": arn, "clusterOperationArn": operation})
        if rest == "/bootstrap-brokers":
            brokers = ",".join(f"b-{n}.{cluster['name']}.kafka.{region}.amazonaws.com:9098" for n in (1, 2, 3))
            return answer({"bootstrapBrokerStringSaslIam": brokers})
        if rest == "":
            return answer({"clusterInfo": self.describe(arn, cluster, "/v2/" in path)})
        return self.missing()

    def describe(self, arn, cluster, second):
        details = dict(cluster["details"])
        info = details.get("configurationInfo", {})
        details["currentBrokerSoftwareInfo"] = {
            "configurationArn": info.get("arn"),
            "configurationRevision": info.get("revision"),
            "kafkaVersion": details.get("kafkaVersion"),
        }
        details["storageMode"] = details.get("storageMode", "LOCAL")
        details["zookeeperConnectString"] = ""
        common = {
            "clusterArn": arn,
            "clusterName": cluster["name"],
            "clusterType": "PROVISIONED",
            "currentVersion": "K1",
            "creationTime": "2026-01-01T00:00:00Z",
            "state": "ACTIVE",
            "tags": cluster["tags"],
        }
        return {**common, "provisioned": details} if second else {**common, **details}

    @staticmethod
    def missing(kind="NotFoundException", message="not found", status=404):
        response = answer({"message": message, "invalidParameter": "arn"}, status)
        response.headers["x-amzn-ErrorType"] = kind
        return response


class Permissions:
    """What judges a call, for the gate in front: /_permissions/role|bucket|key|secret|tags/<name>. No API of AWS: it needs no rights."""

    def __call__(self, request):
        found = re.fullmatch(r"/_permissions/(role|bucket|key|secret|tags)/(.+)", request.path)
        if found is None:
            return None
        try:
            return answer(getattr(self, found[1])(found[2], request.args["region"]))
        except Exception as error:  # whatever moto says where there is none
            return answer({"message": repr(error)}, 404)

    @staticmethod
    def role(name, region):
        iam = iam_backends[ACCOUNT_ID]["aws"]
        role = iam.get_role(name)
        attached = [Permissions.document(policy) for policy in role.managed_policies.values()]
        boundary = role.permissions_boundary_arn
        return {
            "arn": role.arn,
            "trust": json.loads(role.assume_role_policy_document),
            "identity": [*map(json.loads, role.policies.values()), *attached],
            "boundaryArn": boundary,
            "boundary": Permissions.document(iam.managed_policies[boundary]) if boundary else None,
        }

    @staticmethod
    def document(policy):
        return json.loads(next(version.document for version in policy.versions if version.is_default))

    @staticmethod
    def bucket(name, region):
        bucket = s3_backends[ACCOUNT_ID]["aws"].buckets[name]
        encryption = (bucket.encryption or {}).get("Rule", {}).get("ApplyServerSideEncryptionByDefault", {})
        policy = bucket.policy.decode() if isinstance(bucket.policy, bytes) else bucket.policy
        return {"policy": json.loads(policy) if policy else None, "key": encryption.get("KMSMasterKeyID")}

    @staticmethod
    def key(name, region):
        kms = kms_backends[ACCOUNT_ID][region]
        key = kms.describe_key(name)
        return {"arn": key.arn, "policy": json.loads(key.policy)}

    @staticmethod
    def tags(name, region):
        if ":ecs:" in name:
            found = ecs_backends[ACCOUNT_ID][region].list_tags_for_resource(name)
            return {tag["key"]: tag["value"] for tag in found}
        if ":secretsmanager:" in name:
            secret = secretsmanager_backends[ACCOUNT_ID][region].secrets[name]
            return {tag["Key"]: tag["Value"] for tag in secret.tags or []}
        if not name.startswith("arn:"):
            found = ec2_backends[ACCOUNT_ID][region].describe_tags(filters={"resource-id": [name]})
            return {tag["key"]: tag["value"] for tag in found}
        resources = resourcegroupstaggingapi_backends[ACCOUNT_ID][region]._get_resources_generator()
        found = next((each["Tags"] for each in resources if each["ResourceARN"] == name), [])
        return {tag["Key"]: tag["Value"] for tag in found}

    @staticmethod
    def secret(name, region):
        secret = secretsmanager_backends[ACCOUNT_ID][region].secrets[name]
        return {"arn": secret.arn, "key": secret.kms_key_id}


class Emulator:
    """One call at a time: moto is not made for two.

    A client whose connection broke calls again under the same invocation id, not knowing that its first call was heard.
    AWS takes most of those for the same call; moto would say that the thing exists, or is gone. So the first answer is
    given again. Each call is a line on standard output: how often it was heard, what it asked for, what it got.
    """

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.additions = [Permissions(), AutoscalingTags(), FileSystems(), ServiceQuotas(), AlertManager(), Budgets(), Kafka()]
        self.one_at_a_time = threading.Lock()
        self.answered = {}

    def __call__(self, environ, start_response):
        invocation = environ.get("HTTP_AMZ_SDK_INVOCATION_ID")
        with self.one_at_a_time:
            known = self.answered.get(invocation)
            if known is None:
                known = self.answer(environ)
                if invocation is not None and not known.status.startswith("5"):
                    self.answered[invocation] = known
                times = "once"
            else:
                times = "again"
            asked = environ.get("HTTP_X_AMZ_TARGET") or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            if not environ["PATH_INFO"].startswith("/_permissions/"):
                print(times, asked, known.status, flush=True)
        return known(environ, start_response)

    def answer(self, environ):
        request = Request(environ, populate_request=False)
        for addition in self.additions:
            response = addition(request)
            if response is not None:
                return response
        try:
            response = Response.from_app(self.moto, environ, buffered=True)
        except Exception as error:  # a gap of moto, whatever it looks like
            return self.not_emulated(repr(error))
        # Clients repeat a call that ends with 5xx for a quarter of an hour: what is not emulated must be an error at once.
        return self.not_emulated(response.get_data(as_text=True)) if response.status_code >= 500 else response

    @staticmethod
    def not_emulated(reason):
        print("not emulated", " ".join(reason.split())[:1000], flush=True)
        return answer({"__type": "NotEmulated", "message": reason[:1000]}, 400)


def main():
    statement_applies_only_under_its_condition()
    rule_between_groups_has_a_description()
    service_remembers_how_it_was_created()
    service_is_steady_or_goes_back()
    hosted_zone_has_an_id_as_in_aws()
    service_linked_roles_have_their_names()
    delete_marker_can_be_deleted()
    # Reading all of AWS's managed policies takes seconds: a first call that waits for it is repeated by its client.
    iam_backends[ACCOUNT_ID]["aws"].managed_policies
    server = make_server("127.0.0.1", int(sys.argv[1]), Emulator(), threaded=True)
    print("listening", server.port, flush=True)
    # When the process that started us is gone, our standard input ends.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
