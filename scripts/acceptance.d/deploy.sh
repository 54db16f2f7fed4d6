# Holds deploy/kubernetes.yaml against Kubernetes' own schemas, and deploy/aws-batch.json against the
# service models of AWS Batch and EventBridge Scheduler. Then misspells each name in turn: whatever is not
# noticed ends this with a failure, as the check would be worth nothing there.
#
#     scripts/acceptance deploy    a minute; Python, with packages by pip. Nothing is built.
#
# That the commands in these files are understood, and what rcbs makes of each engine's variables, is
# shown by the tests in tests/it/fleet.
command -v python3 >/dev/null || fail "python3 is missing"
find_built
tools=$built/acceptance-deploy
if [ ! -x "$tools/bin/yamllint" ]; then
    echo "== Installing the schemas into $tools"
    rm -rf "$tools"
    python3 -m venv "$tools"
    timeout 600 "$tools/bin/pip" --quiet install kubernetes-validate==1.37.0 botocore==1.44.5 yamllint==1.38.0
fi

echo "== As text"
"$tools/bin/yamllint" --strict \
    --config-data '{extends: default, rules: {line-length: {max: 110}, document-start: disable}}' \
    deploy/kubernetes.yaml || fail "deploy/kubernetes.yaml is no tidy YAML"
sh -n deploy/slurm.sbatch || fail "deploy/slurm.sbatch is no shell script"

echo "== By the schemas"
"$tools/bin/python" scripts/acceptance.d/deploy.py deploy/kubernetes.yaml deploy/aws-batch.json ||
    fail "see above"
echo "== Accepted"
