<%!
    def plain(code):
        """Leave out the two comments that Alembic puts around what it generates."""
        return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ### ")).strip()
%>\
<% body = f"{upgrades or ''}{downgrades or ''}" %>\
"""${message.replace("\\", "\\\\").replace('"', '\\"')}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

% if "sa." in body or "op." not in body:
import sqlalchemy as sa
% endif
from alembic import op
% if imports:
${imports}
% endif

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades or "pass" | plain}


def downgrade() -> None:
    ${downgrades or "pass" | plain}
