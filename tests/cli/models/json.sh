sedge models --json | json models/0/name
sedge models tiger --json | json options/0/name
sedge models hstu-rank --json | json roles/1
