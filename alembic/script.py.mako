<%!
    import sys

    def standard(line):
        """Whether an import is one of the standard library's, which stand first."""
        return line.split()[1].partition(".")[0] in sys.stdlib_module_names

    def plain(code):
        """Leave out the two comments that Alembic puts around what it generates."""
        return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ### ")).strip()
%>\
<% note = context.get("notes", {}).get(up_revision) %>\
<% lines = sorted((imports or "").splitlines()) %>\
<% body = f"{upgrades or ''}{downgrades or ''}" %>\
"""${message.replace("\\", "\\\\").replace('"', '\\"')}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
% if note and note.change:

Change: ${note.change}
% endif
"""

% for line in filter(standard, lines):
${line}
% endfor
% if any(map(standard, lines)):

% endif
% if "sa." in body or "op." not in body:
import sqlalchemy as sa
% endif
from alembic import op
% for line in (line for line in lines if not standard(line)):
${line}
% endfor

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
% if note and note.is_repeatable:
repeatable = True  # after an interruption, it is simply run again
% endif


def upgrade() -> None:
    ${upgrades or "pass" | plain}


def downgrade() -> None:
    ${downgrades or "pass" | plain}
